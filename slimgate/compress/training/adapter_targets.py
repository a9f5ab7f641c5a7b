"""Which layers of a model get an adapter."""

from __future__ import annotations

from typing import Any

from torch import nn

from slimgate.compress.layers.lora_linear import LoraLinear
from slimgate.errors import BuildError, nearest
from slimgate.models.blocks import Block, blocks
from slimgate.models.linear_layers import conv1d_to_linear_


def find_targets(model: Any, targets: str | tuple[str, ...]) -> dict[str, nn.Module]:
    """Name -> linear layer of any class, in the network's order, after Conv1D layers have become nn.Linear.

    targets: "attention", "linear", or endings of names. Of a layer that is made of several linear layers (low
    rank) those are given. Raises BuildError where a name fits no layer, or there is an adapter already.
    """
    conv1d_to_linear_(model)
    network = model.network
    adapted = [name for name, module in network.named_modules() if isinstance(module, LoraLinear)]
    if adapted:
        raise BuildError(f"{adapted[0]} has an adapter already; set merge = true in the step that made it")
    known = _linear_like(network)
    if not isinstance(targets, str):
        return _of_endings(known, targets)
    wanted = {name for block in blocks(network) for name in _names(block, targets)}
    found = {n: m for n, m in known.items() if n in wanted or n.rpartition(".")[0] in wanted}
    if not found:
        raise BuildError(f"{type(network).__name__}: no linear layer to adapt was found in its blocks")
    return found


def _names(block: Block, targets: str) -> tuple[str, ...]:
    attention, feed_forward = block.attention, block.feed_forward
    names = (attention.query, attention.key, attention.value, attention.output)
    return names if targets == "attention" else (*names, *feed_forward.inputs, feed_forward.output)


def _of_endings(known: dict[str, nn.Module], endings: tuple[str, ...]) -> dict[str, nn.Module]:
    for ending in endings:
        if not any(f".{name}".endswith(f".{ending}") for name in known):
            last = {name.rpartition(".")[2] for name in known}
            raise BuildError(f'targets "{ending}": no linear layer of that name{nearest(ending, last)}')
    return {n: m for n, m in known.items() if any(f".{n}".endswith(f".{ending}") for ending in endings)}


def _linear_like(network: nn.Module) -> dict[str, nn.Module]:
    """Layers that map in_features to out_features, more than none, and hold no such layer themselves."""
    found = {
        name: module
        for name, module in network.named_modules()
        if getattr(module, "in_features", 0) and getattr(module, "out_features", 0)
    }
    return {n: m for n, m in found.items() if not any(other.startswith(f"{n}.") for other in found)}
