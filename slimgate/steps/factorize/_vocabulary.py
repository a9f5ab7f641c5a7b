"""Which tokens rows use, and a model whose vocabulary is only some of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.errors import BuildError, DataError
from slimgate.models.plain_layers import convert_scaled_tables_
from slimgate.models.replace_modules import replace_modules_
from slimgate.models.static_encoder import StaticEncoder
from slimgate.models.token_embeddings import find_token_embeddings
from slimgate.plugins.context import BuildContext

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.encoding import EncodedTexts

Counts = npt.NDArray[np.int64]


def count_tokens(model: TorchModel, context: BuildContext, splits: Iterable[str]) -> dict[str, Counts]:
    """How often each token occurs in the rows as the model reads them: split -> (vocab_size,).

    Splits without rows are left out. Raises DataError if none has any.
    """
    present = [split for split in splits if len(context.splits.get(split, ()))]
    if not present:
        raise DataError(f"none of the splits {', '.join(splits)} has rows to take tokens from")
    size = int(model.config.vocab_size)
    counts = {}
    for split in present:
        encoded = cast(
            "EncodedTexts",
            context.task.encode_rows(context.task_params, context.rows(split), model.tokenizer),
        )
        # An encoder-decoder's answers are in a separate column.
        rows = [*encoded.columns["input_ids"], *getattr(encoded, "answers", ())]
        ids = np.fromiter((i for row in rows for i in row), dtype=np.int64)
        counts[split] = np.bincount(ids, minlength=size)
    return counts


def trim_network_(model: TorchModel, kept_ids: Sequence[int]) -> list[str]:
    """Keeps these rows of the token tables and of the layer that gives a logit per token, in this order.

    kept_ids: old ids. Token ids in the configuration are renumbered. Returns the names of the trimmed
    modules. Raises BuildError if there is no float table, or if bigrams were learnt by ids.
    """
    convert_scaled_tables_(model)
    network: Any = model.network
    config = model.config
    new_ids = {old: new for new, old in enumerate(kept_ids)}
    modules: dict[str, nn.Module] = {**find_token_embeddings(network), **list_token_heads(network)}
    if not any(isinstance(module, nn.Embedding) for module in modules.values()):
        raise BuildError(
            f"{type(network).__name__} has no float table of {config.vocab_size} token vectors: put "
            "trim_vocabulary before the step that quantizes it"
        )
    if any(isinstance(m, StaticEncoder) and m.has_learnt_bigrams() for m in network.modules()):
        raise BuildError(
            f"{type(network).__name__} finds its bigrams by the ids of tokens, which "
            "trim_vocabulary changes: put trim_vocabulary before static_student"
        )
    rows = torch.tensor(kept_ids, device=next(network.parameters()).device)
    shared: dict[int, nn.Parameter] = {}
    replace_modules_(
        model,
        "trim_vocabulary",
        {name: _trim_module(m, rows, new_ids, shared) for name, m in modules.items()},
    )
    config.vocab_size = len(kept_ids)
    _renumber(config, new_ids)
    generation_config = getattr(network, "generation_config", None)
    if generation_config is not None:
        _renumber(generation_config, new_ids)
    if hasattr(network, "final_logits_bias"):  # BART and Marian: (1, vocabulary)
        network.final_logits_bias = network.final_logits_bias[:, rows]
    return list(modules)


def _renumber(config: PreTrainedConfig, new_ids: dict[int, int]) -> None:
    """Renumbers token ids in a configuration; lists of words that must not be written are lists of ids."""
    for key, value in config.to_dict().items():
        if key.endswith("_token_id") and value is not None:
            numbers = [new_ids[v] for v in value if v in new_ids] if isinstance(value, list) else None
            setattr(config, key, new_ids.get(value) if numbers is None else numbers or None)
    if banned := getattr(config, "bad_words_ids", None):
        config.bad_words_ids = [
            [new_ids[v] for v in word] for word in banned if all(v in new_ids for v in word)
        ] or None


def list_token_heads(network: nn.Module) -> dict[str, nn.Linear]:
    """The linear layer with an output per token of a language model; empty for a classifier.

    Raises BuildError if that layer is no nn.Linear.
    """
    get: Any = getattr(network, "get_output_embeddings", None)
    head = get() if get is not None else None
    if head is None:
        return {}
    size = int(network.config.vocab_size)  # type: ignore[arg-type, union-attr]
    names = {id(m): name for name, m in network.named_modules()}
    heads = [m for m in head.modules() if isinstance(m, nn.Linear) and m.out_features == size]
    if not heads:
        raise BuildError(
            f"{type(network).__name__}: the layer that gives the logits is {type(head).__name__}, "
            "expected nn.Linear; trim the vocabulary before the step that quantizes it"
        )
    return {names[id(m)]: m for m in heads[-1:]}


def _trim_module(
    module: nn.Module, rows: torch.Tensor, new_ids: dict[int, int], shared: dict[int, nn.Parameter]
) -> nn.Module:
    """The module with these rows; two modules that share a weight share the new one, too."""

    def cut(parameter: nn.Parameter) -> nn.Parameter:
        if id(parameter) not in shared:
            shared[id(parameter)] = nn.Parameter(parameter.detach()[rows].clone(), parameter.requires_grad)
        return shared[id(parameter)]

    trimmed: nn.Module
    if isinstance(module, nn.Embedding):
        padding = None if module.padding_idx is None else new_ids.get(module.padding_idx)
        trimmed = nn.Embedding(len(rows), module.embedding_dim, padding, device="meta")
    else:
        assert isinstance(module, nn.Linear)
        trimmed = nn.Linear(module.in_features, len(rows), bias=module.bias is not None, device="meta")
        if module.bias is not None:
            trimmed.bias = cut(module.bias)
    trimmed.weight = cut(module.weight)  # type: ignore[arg-type]
    return trimmed
