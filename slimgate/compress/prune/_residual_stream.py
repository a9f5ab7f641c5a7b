"""The residual stream of a transformer: who writes to it and reads from it, and what its features are worth.

They are found by their places: embeddings, the layers of the blocks, norms, and the first linear layer behind
the blocks. What is inside attention, feed-forward and a classification head does not belong to the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.compress.importance import mask_importance
from slimgate.errors import BuildError
from slimgate.models.blocks import blocks, encoder_layers
from slimgate.models.cutting import part_to_cut
from slimgate.protocols import BuildContext


@dataclass(frozen=True)
class Stream:
    """Names of the modules around the residual stream: tables, layers that write or read, norms.

    head: the first layer behind the blocks; behind: the linear layers after it, which do not read the stream.
    """

    width: int
    tables: tuple[str, ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    norms: tuple[str, ...]
    blocks: tuple[str, ...]
    head: str
    behind: tuple[str, ...]


def residual_stream(network: nn.Module) -> Stream:
    """The stream of a network of a family that blocks.py knows. Raises BuildError."""
    config: Any = network.config
    width, found = int(config.hidden_size), blocks(network)
    before, after = _around_blocks(network)
    wide = [n for n, m in before.items() if getattr(m, "embedding_dim", None) == width]
    for name in wide:  # a factorised table holds a projection, which would be taken for ELECTRA's
        part_to_cut(network, name, nn.Embedding)
    outer = {name: m for name, m in before.items() if getattr(m, "out_features", None) == width}
    heads = [n for n, m in after.items() if getattr(m, "in_features", None) == width]
    if not heads:
        answers = getattr(network, "has_logits_layer", True)
        hint = "" if answers else "; truncate_embeddings before it puts one there"
        raise BuildError(
            f"{type(network).__name__}: no linear layer behind its blocks reads {width} features{hint}"
        )
    inside = {} if outer else before  # ELECTRA's embeddings have a width of their own, and a projection
    norms = {**inside, **_within(network, found[0].name.rpartition(".")[0]), **after}
    return Stream(
        width=width,
        tables=tuple(name for name in wide if name in inside),
        writers=(*outer, *(p for b in found for p in (b.attention.output, b.feed_forward.output))),
        readers=(
            *dict.fromkeys(p for b in found for p in (b.attention.query, b.attention.key, b.attention.value)),
            *(p for b in found for p in b.feed_forward.inputs),
            heads[0],
        ),
        norms=tuple(name for name, module in norms.items() if _is_norm(module, width)),
        blocks=tuple(block.name for block in found),
        head=heads[0],
        behind=tuple(n for n, m in after.items() if hasattr(m, "in_features") and n != heads[0]),
    )


def stream_importance(
    model: Any, stream: Stream, context: BuildContext, *, by: str
) -> npt.NDArray[np.float64]:
    """A score for each feature of the stream: (width,).

    "gradient": mean over the rows of `calibration` of |∂loss/∂mask|, added up over what each block receives
    and what the head does. "magnitude": norm of all weights that write or read the feature.
    """
    if by == "gradient":
        sites = dict.fromkeys((*stream.blocks, stream.head), stream.width)
        return np.asarray(sum(mask_importance(model, sites, context).values()))
    network = model.network
    rows = [part_to_cut(network, n, nn.Linear).weight.detach().t() for n in stream.readers]
    rows += [part_to_cut(network, n, nn.Linear).weight.detach() for n in stream.writers]
    rows += [part_to_cut(network, n, nn.Embedding).weight.detach().t() for n in stream.tables]
    return np.sqrt(sum(np.asarray(row.double().square().sum(1).cpu().numpy()) for row in rows))


def _around_blocks(network: nn.Module) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Modules by name that stand before the list of blocks, and behind it, in the network's order."""
    layers = encoder_layers(network)
    within = {id(module) for module in layers.modules()}
    named = list(network.named_modules())
    place = next(i for i, (_, module) in enumerate(named) if module is layers)
    before = dict(named[:place])
    after = {name: module for name, module in named[place:] if id(module) not in within}
    return before, after


def _within(network: nn.Module, name: str) -> dict[str, nn.Module]:
    return {f"{name}.{inner}": module for inner, module in network.get_submodule(name).named_modules()}


def _is_norm(module: nn.Module, width: int) -> bool:
    weight = getattr(module, "weight", None)
    named = isinstance(module, nn.LayerNorm) or type(module).__name__.endswith("RMSNorm")
    return named and isinstance(weight, torch.Tensor) and weight.shape == (width,)
