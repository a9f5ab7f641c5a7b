"""Trims a vocabulary to the tokens that rows use, in the tokenizer and the model."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.errors import BuildError, DataError
from slimgate.models.config import OFFSET_POSITIONS
from slimgate.models.linear_layers import find_token_embeddings
from slimgate.models.plain_layers import convert_scaled_tables_
from slimgate.models.replace_modules import replace_modules_
from slimgate.models.saved_files import load_tokenizer
from slimgate.models.static_encoder import StaticEncoder
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.steps.factorize._tokenizer_json import (
    list_common_ids,
    list_needed_ids,
    read_state,
    trim_tokenizer,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.factorize.trim_vocabulary import Params
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


def trim_vocabulary_(model: TorchModel, params: Params, context: BuildContext) -> Json:
    """Trims the model's tokenizer and its token tables; returns the log. Raises BuildError, DataError."""
    counts = count_tokens(model, context, params.corpus)
    if "selection" not in counts and len(context.splits.get("selection", ())):
        counts |= count_tokens(model, context, ("selection",))
    state = read_state(model.tokenizer)
    always = _list_required_ids(model, params.keep)
    kept_ids = _choose_kept_ids(state, _sum_counts(counts, params.corpus), always, params)
    if kept_ids[-1] >= model.config.vocab_size:
        raise BuildError(
            f"the tokenizer has the token id {kept_ids[-1]}, the model {model.config.vocab_size} token "
            "vectors"
        )
    before = len(model.tokenizer)
    model.tokenizer = rebuild_tokenizer(
        model.tokenizer, trim_tokenizer(state, kept_ids), kept_ids, context.scratch / "tokenizer"
    )
    tables = trim_network_(model, kept_ids)
    log: Json = {"tokens_before": before, "tokens_after": len(kept_ids), "trimmed": tables}
    return {**log, **_compute_shares(state, counts, always, kept_ids, params)}


def _sum_counts(counts: Mapping[str, Counts], splits: Sequence[str]) -> Counts:
    return np.sum([counts[split] for split in splits if split in counts], axis=0)  # type: ignore[no-any-return]


def _choose_kept_ids(state: Json, counts: Counts, always: Collection[int], params: Params) -> list[int]:
    """Ids that stay: those used often enough, limited to vocab_size, or filled up to it."""
    often = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i] >= params.min_count]
    if params.vocab_size is None:
        return list_needed_ids(state, {*often, *always})
    often = list(dict.fromkeys([*often, *list_common_ids(state)]))

    def size(used: int) -> int:
        return len(list_needed_ids(state, {*often[:used], *always}))

    if size(0) > params.vocab_size:
        raise BuildError(
            f"vocab_size = {params.vocab_size}: special tokens and fallback characters alone need {size(0)}"
        )
    used = bisect_right(range(1, len(often) + 1), params.vocab_size, key=size)
    return list_needed_ids(state, {*often[:used], *always})


def _list_required_ids(model: TorchModel, words: Sequence[str]) -> set[int]:
    """Ids that always stay: special ones, the words', and the one that positions count from."""
    config, tokenizer = model.config, model.tokenizer
    numbers = [value for key, value in config.to_dict().items() if key.endswith("_token_id")]
    ids = {i for value in numbers for i in (value if isinstance(value, list) else [value]) if i is not None}
    ids |= set(tokenizer.all_special_ids)
    for word in words:
        ids |= {
            i for text in (word, f" {word}") for i in tokenizer(text, add_special_tokens=False)["input_ids"]
        }
    if config.model_type in OFFSET_POSITIONS:
        ids |= set(range(config.pad_token_id + 1))  # positions depend on its id, which must not change
    known = set(tokenizer.get_vocab().values())
    return {i for i in ids if i in known}


def rebuild_tokenizer(
    tokenizer: PreTrainedTokenizerBase, state: Json, kept_ids: Sequence[int], folder: Path
) -> Any:
    """The tokenizer loaded from a file of this state. Raises BuildError if ids differ."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), "utf-8")
    settings = folder / "tokenizer_config.json"
    config = json.loads(settings.read_text("utf-8"))
    config.pop("added_tokens_decoder", None)  # tokenizer.json holds them, with their new ids
    settings.write_text(json.dumps(config), "utf-8")
    rebuilt_tokenizer = load_tokenizer(folder)
    tokens = tokenizer.convert_ids_to_tokens(list(kept_ids))
    same_ids = rebuilt_tokenizer.convert_tokens_to_ids(tokens) == list(range(len(kept_ids)))
    if not same_ids or len(rebuilt_tokenizer) != len(kept_ids):
        raise BuildError(
            f"{type(tokenizer).__name__} cannot be trimmed: it was written with {len(kept_ids)} of its "
            f"{len(tokenizer)} tokens; loaded again, it has {len(rebuilt_tokenizer)} tokens, or some of them "
            "have other ids"
        )
    return rebuilt_tokenizer


def _compute_shares(
    state: Json,
    counts: Mapping[str, Counts],
    always: Collection[int],
    kept_ids: Sequence[int],
    params: Params,
) -> Json:
    """Shares of tokens that are no longer in the vocabulary, so that other pieces replace them.

    In the corpus, in `selection`, and in `selection` if it were not in the corpus, which estimates the share
    for new rows.
    """
    log = {"corpus_tokens_changed": _compute_share(_sum_counts(counts, params.corpus), kept_ids)}
    if "selection" in counts:
        log["selection_tokens_changed"] = _compute_share(counts["selection"], kept_ids)
        further = [split for split in params.corpus if split != "selection" and split in counts]
        if further and "selection" in params.corpus:
            unseen = _choose_kept_ids(state, _sum_counts(counts, further), always, params)
            log["new_rows_tokens_changed"] = _compute_share(counts["selection"], unseen)
    return log


def _compute_share(counts: Counts, kept_ids: Sequence[int]) -> float:
    return round(1 - float(counts[list(kept_ids)].sum() / counts.sum()), 5)
