"""Removes features from the residual stream of a transformer, in all modules that write and read it.

These modules are found by their position: embeddings, the layers of the blocks, norms, and the first linear
layer after the blocks. Inner widths of attention, feed-forward and a classification head do not change. Norms
take their statistics over the remaining features, so the answers differ from those of a network whose
features are multiplied by 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import Attention, blocks, find_only_block_list
from slimgate.models.families import find_family
from slimgate.models.linear_layers import (
    check_embedding,
    cut_embedding,
    cut_linear,
    cut_norm_,
    find_part_to_cut,
    narrow_embedding_,
)
from slimgate.models.replace_modules import replace_modules_
from slimgate.plugins.context import BuildContext
from slimgate.steps.calibration import calibration_batches, watch_inputs
from slimgate.steps.importance import compute_mask_importance

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


@dataclass(frozen=True)
class Stream:
    """Names of the modules around the residual stream: tables, layers that write or read, norms.

    head: the first layer after the blocks; behind: linear layers and norms after it, which do not read the
    stream.
    """

    width: int
    tables: tuple[str, ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    norms: tuple[str, ...]
    blocks: tuple[str, ...]
    head: str
    behind: tuple[str, ...]


def find_residual_stream(network: nn.Module) -> Stream:
    """The stream of a network of a family that blocks.py knows. Raises BuildError."""
    config: Any = network.config
    width, stream = int(config.hidden_size), blocks(network)
    before, after = _split_around_blocks(network)
    wide = [n for n, m in before.items() if getattr(m, "embedding_dim", None) == width]
    for name in wide:  # a factorized table holds a projection, which looks like ELECTRA's
        check_embedding(network, name)
    outer = {name: m for name, m in before.items() if getattr(m, "out_features", None) == width}
    head = _find_head(network, after, width)
    inside = {} if outer else before  # ELECTRA's embeddings have another width, and a projection
    order = list(after)
    of_stream = {name: after[name] for name in order[: order.index(head)]}
    stack = stream[0].name.rpartition(".")[0]
    in_stack = {f"{stack}.{n}": m for n, m in network.get_submodule(stack).named_modules()}
    norms = {**inside, **in_stack, **of_stream}
    attentions, feed_forwards = [b.attention for b in stream], [b.feed_forward for b in stream]
    return Stream(
        width=width,
        tables=tuple(name for name in wide if name in inside),
        writers=(*outer, *(p for b in stream for p in (b.attention.output, b.feed_forward.output))),
        readers=(
            *dict.fromkeys(name for a in attentions for name in (a.query, a.key, a.value)),
            *(name for f in feed_forwards for name in f.inputs),
            head,
        ),
        norms=tuple(name for name, module in norms.items() if _is_norm(module, width)),
        blocks=tuple(block.name for block in stream),
        head=head,
        behind=tuple(
            n
            for n in order
            if n != head
            and (hasattr(after[n], "in_features") or (n not in of_stream and _is_norm(after[n], width)))
        ),
    )


def _find_head(network: nn.Module, after: dict[str, nn.Module], width: int) -> str:
    """The first linear layer after the blocks that reads the stream. Raises BuildError if there is none."""
    for name, module in after.items():
        if getattr(module, "in_features", None) == width:
            return name
    answers = getattr(network, "has_logits_layer", True)
    hint = "" if answers else "; truncate_embeddings before it puts one there"
    raise BuildError(
        f"{type(network).__name__}: no linear layer after its blocks reads {width} features{hint}"
    )


def compute_stream_importance(
    model: TorchModel, stream: Stream, context: BuildContext, *, by: str
) -> npt.NDArray[np.float64]:
    """A score for each feature of the stream: (width,).

    "gradient": mean over the rows of `calibration` of |∂loss/∂mask|, summed over the inputs of each block
    and of the head. "magnitude": norm of all weights that write or read the feature.
    """
    if by == "gradient":
        sites = dict.fromkeys((*stream.blocks, stream.head), stream.width)
        return np.asarray(sum(compute_mask_importance(model, sites, context).values()))
    network = model.network
    rows = [find_part_to_cut(network, n, nn.Linear).weight.detach().t() for n in stream.readers]
    rows += [find_part_to_cut(network, n, nn.Linear).weight.detach() for n in stream.writers]
    rows += [check_embedding(network, n).weight.detach().t() for n in stream.tables]
    return np.sqrt(sum(np.asarray(row.double().square().sum(1).cpu().numpy()) for row in rows))


def _split_around_blocks(network: nn.Module) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Modules by name that come before the list of blocks, and after it, in the network's order."""
    layers = find_only_block_list(network)
    within = {id(module) for module in layers.modules()}
    named = list(network.named_modules())
    place = next(i for i, (_, module) in enumerate(named) if module is layers)
    before = dict(named[:place])
    after = {name: module for name, module in named[place:] if id(module) not in within}
    return before, after


def _is_norm(module: nn.Module, width: int) -> bool:
    weight = getattr(module, "weight", None)
    named = isinstance(module, nn.LayerNorm) or type(module).__name__.endswith("RMSNorm")
    return named and isinstance(weight, torch.Tensor) and weight.shape == (width,)


def narrow_(model: TorchModel, stream: Stream, kept_units: Sequence[int]) -> None:
    """Keeps only these features of the stream, and updates configuration and notes."""
    network, config = model.network, model.config
    settings = {block.attention.module: _list_settings(network, block.attention) for block in blocks(network)}
    modules: dict[str, nn.Module] = {
        name: cut_embedding(model, name, kept_units)
        for name in stream.tables
        if type(network.get_submodule(name)) is nn.Embedding  # a subclass may compute more
    }
    for name in set(stream.tables) - modules.keys():
        narrow_embedding_(network, name, kept_units)
    modules |= {n: cut_linear(model, n, rows=kept_units) for n in stream.writers}
    modules |= {n: cut_linear(model, n, columns=kept_units) for n in stream.readers}
    # a language model's output layer may be its token table
    for table in modules.keys() & set(stream.tables):
        if network.get_submodule(table).weight is network.get_submodule(stream.head).weight:
            modules[stream.head].weight = modules[table].weight
    # a head's further layers stay, but an empty network would have them in the new width
    modules |= {n: network.get_submodule(n) for n in stream.behind}
    for name in stream.norms:
        cut_norm_(network.get_submodule(name), kept_units)
    if hasattr(config, "head_dim") or hasattr(config, "rope_parameters"):
        # otherwise it would be derived from the new width
        config.head_dim = blocks(network)[0].attention.head_dim
    config.hidden_size = len(kept_units)
    for key in ("embedding_size", "word_embed_proj_dim"):
        if getattr(config, key, None) == stream.width:
            setattr(config, key, len(kept_units))
    replace_modules_(
        model, "prune_hidden", modules, {name: values for name, values in settings.items() if values}
    )


def rescale_norms_(
    model: TorchModel, stream: Stream, kept_units: Sequence[int], context: BuildContext
) -> None:
    """Corrects norms, on the average `calibration` token, for statistics over fewer features.

    Call it before the features are removed. With mean m and deviation s over all features, m' and s' over
    those that stay, (x - m) / s is (x - m') / s' · s'/s + (m' - m) / s: weights are multiplied by the mean of
    s'/s, and the mean of (m' - m) / s times the weight is added to biases. An RMSNorm has no m.
    """
    norms = {name: model.network.get_submodule(name) for name in stream.norms}
    family = find_family(model.config)
    offset = 0.0 if family is None else family.norm_offset
    sums = {name: torch.zeros(3, dtype=torch.float64) for name in norms}

    def add_drift(name: str, tokens: torch.Tensor) -> None:
        centred = isinstance(norms[name], nn.LayerNorm)
        sums[name] += _compute_drift(tokens.double(), list(kept_units), centred=centred).cpu()

    watch_inputs(model, norms, calibration_batches(model, context), add_drift)
    with torch.no_grad():
        norm: Any
        for name, norm in norms.items():
            ratio, shift = (sums[name][:2] / sums[name][2]).tolist()
            if getattr(norm, "bias", None) is not None:
                norm.bias.add_(norm.weight * shift)
            norm.weight.add_(offset).mul_(ratio).sub_(offset)  # Gemma multiplies by 1 + weight


def _compute_drift(tokens: torch.Tensor, kept_units: list[int], *, centred: bool) -> torch.Tensor:
    """Sums over the tokens of s'/s and (m' - m) / s, and the number of tokens."""
    fewer = tokens[:, kept_units]
    if not centred:
        ratio = (fewer.square().mean(1) / tokens.square().mean(1).clamp_min(1e-12)).sqrt()
        return torch.stack([ratio.sum(), ratio.new_zeros(()), ratio.new_tensor(len(ratio))])
    deviation = tokens.var(1, correction=0).clamp_min(1e-12).sqrt()
    ratio = fewer.var(1, correction=0).sqrt() / deviation
    shift = (fewer.mean(1) - tokens.mean(1)) / deviation
    return torch.stack([ratio.sum(), shift.sum(), ratio.new_tensor(len(ratio))])


def _list_settings(network: nn.Module, attention: Attention) -> dict[str, float]:
    """Values that an attention derives from the width when it is made, and must keep."""
    holder = network.get_submodule(attention.module)
    inner = attention.heads * attention.head_dim
    values = {
        "attention_head_size": attention.head_dim,
        "head_dim": attention.head_dim,
        "all_head_size": inner,
        "split_size": inner,
        "scaling": getattr(holder, "scaling", None),
    }
    return {name: value for name, value in values.items() if hasattr(holder, name) and value is not None}
