"""What closed gates leave behind, taken out of the model: heads, intermediate neurons, whole sublayers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from slimgate.compress.layers.removed import NoAttention, NoLinear
from slimgate.compress.prune._attention_heads import kept_attention
from slimgate.compress.prune._sublayer_gates import SublayerGates
from slimgate.models.blocks import Attention, FeedForward, blocks, encoder_layers, width
from slimgate.models.cutting import cut_linear
from slimgate.models.replacing import replace_modules_

Modules = dict[str, nn.Module]


def remove_closed_(model: Any, all_gates: Sequence[SublayerGates], method: str) -> None:
    """Puts smaller layers in the place of those that have closed parts, for `restore` of the method.

    What the gates that are still open scale by must be in the weights already.
    """
    kept = {
        gates.output: gates.kept() for gates in all_gates if len(gates.kept()) < len(gates.parts.log_alpha)
    }
    modules: Modules = {}
    settings: dict[str, dict[str, int]] = {}
    for block in blocks(model.network):
        attention, feed_forward = block.attention, block.feed_forward
        if units := kept.get(attention.output):
            layers, values = kept_attention(model, attention, units)
            modules |= layers
            settings |= {attention.module: values} if values else {}
        elif attention.output in kept:
            modules |= _no_attention(model.network, attention)
        if neurons := kept.get(feed_forward.output):
            modules |= {name: cut_linear(model, name, rows=neurons) for name in feed_forward.inputs}
            modules[feed_forward.output] = cut_linear(model, feed_forward.output, columns=neurons)
        elif feed_forward.output in kept:
            modules |= _no_feed_forward(model.network, feed_forward)
    if modules:
        replace_modules_(model, method, modules, settings)
    number_blocks_(model.network)


def number_blocks_(network: nn.Module) -> None:
    """Tells each removed attention the number of its block, by which a cache of keys and values counts."""
    for number, block in enumerate(encoder_layers(network)):
        for module in block.modules():
            if isinstance(module, NoAttention):
                module.layer_idx = number


def _no_feed_forward(network: nn.Module, part: FeedForward) -> Modules:
    found: Modules = {name: NoLinear(_in(network, name), 0) for name in part.inputs}
    return {**found, part.output: NoLinear(0, _out(network, part.output))}


def _no_attention(network: nn.Module, part: Attention) -> Modules:
    """One module instead of the whole attention; the output layer by itself where it stands outside."""
    inside = f"{part.module}."
    layers = {
        name.removeprefix(inside): (_in(network, name), 0) for name in (part.query, part.key, part.value)
    }
    own_output = part.output.startswith(inside)
    if own_output:
        layers[part.output.removeprefix(inside)] = (0, _out(network, part.output))
    nothing = NoAttention(
        layers,
        head_dim=part.head_dim,
        output=part.output.removeprefix(inside) if own_output else None,
    )
    outside: Modules = {} if own_output else {part.output: NoLinear(0, _out(network, part.output))}
    return {part.module: nothing, **outside}


def _in(network: nn.Module, name: str) -> int:
    return width(network.get_submodule(name))[0]


def _out(network: nn.Module, name: str) -> int:
    return width(network.get_submodule(name))[1]
