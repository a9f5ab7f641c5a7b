"""Gates on the attention and feed-forward sublayers of a model, and the removal of what they close.

Each sublayer has a gate as a whole and one for each of its parts: heads (groups of heads if they share
keys and values) or intermediate neurons. Gates scale the columns of the sublayer's output layer, and the
whole gate also scales its bias, so that a closed gate is equal to a missing part.

Gates are between 0 and 1, in most draws exactly 0 or 1, and still learned by gradient. After training, closed
heads, intermediate neurons and whole sublayers are removed from the model.

Source: Louizos et al. 2018, "Learning sparse neural networks through L0 regularization", section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from slimgate.errors import BuildError
from slimgate.models.blocks import Attention, Block, blocks, find_only_block_list, read_layer_size
from slimgate.models.linear_layers import check_linear, cut_linear
from slimgate.models.replace_modules import replace_modules_
from slimgate.steps.layers.removed import NoAttention, NoLinear
from slimgate.steps.prune._attention_heads import cut_attention

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

TEMPERATURE = 2 / 3
_OPEN = 2.5  # log_alpha of a new gate
LOW, HIGH = -0.1, 1.1  # the interval that a gate is stretched to before it is clipped to [0, 1]
Modules = dict[str, nn.Module]


class HardConcrete(nn.Module):
    """A vector of gates. In training `draw` draws new values; in evaluation they are the medians.

    log_alpha: (size,); a gate is open if it is above 2.4. fixed: (size,) once the gates are decided.
    """

    fixed: Tensor | None
    noise: Tensor | None

    def __init__(self, size: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.full((size,), _OPEN))
        self.register_buffer("fixed", None, persistent=False)
        self.register_buffer("noise", None, persistent=False)

    def draw(self) -> None:
        """Draws new noise for the next forward passes, from torch's generator."""
        uniform = torch.rand_like(self.log_alpha).clamp_(1e-6, 1 - 1e-6)
        self.noise = torch.logit(uniform)

    def forward(self) -> Tensor:
        """The gates: (size,) in [0, 1]."""
        if self.fixed is not None:
            return self.fixed
        if self.training and self.noise is not None:
            return _stretch((self.noise + self.log_alpha) / TEMPERATURE)
        return _stretch(self.log_alpha)

    def open_probability(self) -> Tensor:
        """The probability of each gate to be other than 0: (size,). Equation 12."""
        return torch.sigmoid(self.log_alpha - TEMPERATURE * math.log(-LOW / HIGH))


def _stretch(logits: Tensor) -> Tensor:
    return (torch.sigmoid(logits) * (HIGH - LOW) + LOW).clamp(0, 1)


class SublayerGates(nn.Module):
    """The gates of one sublayer.

    output: name of its output layer; columns: columns of that layer per part; cost: parameters of a part.
    """

    def __init__(self, output: str, parts: int, *, columns: int, cost: int) -> None:
        super().__init__()
        self.output, self.columns, self.cost = output, columns, cost
        self.whole, self.parts = HardConcrete(1), HardConcrete(parts)

    def forward(self) -> Tensor:
        """The factor of each column of the output layer: (parts * columns,)."""
        scales: Tensor = (self.whole() * self.parts()).repeat_interleave(self.columns)
        return scales

    def count_parameters(self) -> int:
        """Parameters of all parts."""
        return self.cost * self.parts.log_alpha.numel()

    def compute_expected_parameters(self) -> Tensor:
        """Expected number of remaining parameters over the gates' draws: a scalar."""
        return self.whole.open_probability()[0] * self.parts.open_probability().sum() * self.cost

    def open_parts(self) -> list[int]:
        """The parts that are open, once the gates are fixed."""
        return torch.nonzero(self.whole() * self.parts()).flatten().tolist()


class _ScaledWeight(nn.Module):
    def __init__(self, gates: SublayerGates) -> None:
        super().__init__()
        self.gates = gates

    def forward(self, weight: Tensor) -> Tensor:
        scaled: Tensor = weight * self.gates()
        return scaled


class _ScaledBias(nn.Module):
    def __init__(self, gates: SublayerGates) -> None:
        super().__init__()
        self.gates = gates

    def forward(self, bias: Tensor) -> Tensor:
        scaled: Tensor = bias * self.gates.whole()
        return scaled


def make_gates(network: nn.Module) -> list[SublayerGates]:
    """Gates for the attention and the feed-forward part of each block, in this order, all open.

    A sublayer that an earlier step removed has none. Raises BuildError if no sublayer is left, or one has
    other layers than nn.Linear.
    """
    parts = blocks(network)
    check_linear(network, [name for block in parts for name in _list_linear_names(block)])
    block_gates = [gates for block in parts for gates in _make_block_gates(network, block)]
    if not block_gates:
        raise BuildError(f"{type(network).__name__} has no attention or feed-forward part left to prune")
    return block_gates


def _list_linear_names(block: Block) -> Iterator[str]:
    attention, feed_forward = block.attention, block.feed_forward
    if attention.kv_heads:
        yield from (attention.query, attention.key, attention.value, attention.output)
    if feed_forward.width:
        yield from (*feed_forward.inputs, feed_forward.output)


def _make_block_gates(network: nn.Module, block: Block) -> Iterator[SublayerGates]:
    attention, feed_forward = block.attention, block.feed_forward
    if attention.kv_heads:
        group = attention.heads // attention.kv_heads
        columns = group * attention.head_dim
        hidden, output = (
            read_layer_size(network.get_submodule(n)) for n in (attention.query, attention.output)
        )
        rows = columns + 2 * attention.head_dim
        bias = getattr(network.get_submodule(attention.query), "bias", None) is not None
        cost = rows * (hidden[0] + bias) + columns * output[1]
        yield SublayerGates(attention.output, attention.kv_heads, columns=columns, cost=cost)
    if feed_forward.width:
        into = [network.get_submodule(name) for name in feed_forward.inputs]
        cost = sum(read_layer_size(layer)[0] + (getattr(layer, "bias", None) is not None) for layer in into)
        cost += read_layer_size(network.get_submodule(feed_forward.output))[1]
        yield SublayerGates(feed_forward.output, feed_forward.width, columns=1, cost=cost)


@contextmanager
def with_gates(network: nn.Module, all_gates: Sequence[SublayerGates]) -> Iterator[None]:
    """Scales the weights by the gates within the context, and merges the gates into the weights after it."""
    layers = [network.get_submodule(gates.output) for gates in all_gates]
    for layer, gates in zip(layers, all_gates, strict=True):
        parametrize.register_parametrization(layer, "weight", _ScaledWeight(gates))
        if layer.bias is not None:
            parametrize.register_parametrization(layer, "bias", _ScaledBias(gates))
    try:
        yield
    finally:
        for layer, gates in zip(layers, all_gates, strict=True):
            gates.eval()
            parametrize.remove_parametrizations(layer, "weight")
            if parametrize.is_parametrized(layer, "bias"):
                parametrize.remove_parametrizations(layer, "bias")


def compute_sparsity(all_gates: Sequence[SublayerGates]) -> Tensor:
    """The expected share of the parts' parameters that is removed: a scalar in [0, 1]."""
    total = sum(gates.count_parameters() for gates in all_gates)
    remaining = torch.stack([gates.compute_expected_parameters() for gates in all_gates]).sum()
    return 1 - remaining / total


@torch.no_grad()
def settle_(all_gates: Sequence[SublayerGates], ratio: float, *, multiple_of: int = 1) -> float:
    """Fixes the gates: closes the least open ones, until `ratio` of the parameters is removed.

    Returns the removed share: at least the ratio. A whole sublayer that would exceed it is skipped, so that
    the last gate to close is a small part. multiple_of: further neurons close until a sublayer's number of
    neurons is a multiple of it.
    """
    sublayers = [_OpenParts(gates) for gates in all_gates]
    total = sum(gates.count_parameters() for gates in all_gates)
    budget, slack = ratio * total, min(gates.cost for gates in all_gates)
    removed = sum(sublayer.close_zeros() for sublayer in sublayers)
    order = sorted(
        (value, i, part) for i, sublayer in enumerate(sublayers) for part, value in sublayer.list_candidates()
    )
    for _, i, part in order:
        if removed >= budget:
            break
        if removed + sublayers[i].count_saved_parameters(part) < budget + slack:
            removed += sublayers[i].close(part)
    for sublayer in sublayers:
        removed += sublayer.round_down(multiple_of)
        sublayer.fix()
    return removed / total


class _OpenParts:
    """Which parts of a sublayer are open while the gates are settled; part -1 is the whole."""

    def __init__(self, gates: SublayerGates) -> None:
        self._gates = gates.eval()
        self._values = [gates.whole(), gates.parts()]
        self._open = [True] * gates.parts.log_alpha.numel()

    def close_zeros(self) -> int:
        """Closes the gates that are 0 after training; returns their parameters."""
        if not float(self._values[0]):
            return self.close(-1)
        zeros = torch.nonzero(self._values[1] == 0).flatten().tolist()
        return sum(self.close(part) for part in zeros)

    def list_candidates(self) -> Iterator[tuple[int, float]]:
        """(part, log alpha) of the gates."""
        yield -1, float(self._gates.whole.log_alpha)
        yield from enumerate(self._gates.parts.log_alpha.tolist())

    def count_saved_parameters(self, part: int) -> int:
        """The parameters that closing a part would save."""
        return self._gates.cost * (sum(self._open) if part < 0 else int(self._open[part]))

    def close(self, part: int) -> int:
        """Closes a part; returns the parameters that this saves."""
        saved = self.count_saved_parameters(part)
        for closed in range(len(self._open)) if part < 0 else (part,):
            self._open[closed] = False
        return saved

    def round_down(self, multiple: int) -> int:
        """Closes the least open neurons above a multiple; returns their parameters. Heads do not change."""
        values = self._gates.parts.log_alpha.tolist()
        parts = sorted((part for part, is_open in enumerate(self._open) if is_open), key=values.__getitem__)
        if self._gates.columns > 1 or len(parts) < multiple:
            return 0
        return sum(self.close(part) for part in parts[: len(parts) % multiple])

    def fix(self) -> None:
        value, parts = self._values
        mask = torch.tensor(self._open, device=parts.device)
        self._gates.parts.fixed = parts * mask
        self._gates.whole.fixed = value * bool(mask.any())


def remove_closed_parts_(model: TorchModel, all_gates: Sequence[SublayerGates]) -> None:
    """Replaces layers with closed parts by smaller ones, for `restore` of the step.

    The factors of gates that are still open must already be in the weights.
    """
    kept_units = {
        gates.output: gates.open_parts()
        for gates in all_gates
        if len(gates.open_parts()) < len(gates.parts.log_alpha)
    }
    modules: Modules = {}
    settings: dict[str, dict[str, int]] = {}
    for block in blocks(model.network):
        attention, feed_forward = block.attention, block.feed_forward
        if units := kept_units.get(attention.output):
            layers, values = cut_attention(model, attention, units)
            modules |= layers
            settings |= {attention.module: values} if values else {}
        elif attention.output in kept_units:
            modules |= _make_empty_attention(model.network, attention)
        if neurons := kept_units.get(feed_forward.output):
            rows = feed_forward.list_rows(neurons)
            modules |= {name: cut_linear(model, name, rows=rows[name]) for name in rows}
            modules[feed_forward.output] = cut_linear(model, feed_forward.output, columns=neurons)
        elif feed_forward.output in kept_units:
            modules |= {name: NoLinear(_count_inputs(model.network, name), 0) for name in feed_forward.inputs}
            modules[feed_forward.output] = NoLinear(0, _count_outputs(model.network, feed_forward.output))
    if modules:
        replace_modules_(model, "cofi_prune", modules, settings)
    number_blocks_(model.network)


def number_blocks_(network: nn.Module) -> None:
    """Sets the number of its block in each removed attention, by which a key-value cache counts."""
    for number, block in enumerate(find_only_block_list(network)):
        for module in block.modules():
            if isinstance(module, NoAttention):
                module.layer_idx = number


def _make_empty_attention(network: nn.Module, part: Attention) -> Modules:
    """One module instead of the whole attention; the output layer separately if it is outside."""
    inside = f"{part.module}."
    layers = {
        name.removeprefix(inside): (_count_inputs(network, name), 0)
        for name in (part.query, part.key, part.value)
    }
    outputs = _count_outputs(network, part.output)
    if part.output.startswith(inside):
        output = part.output.removeprefix(inside)
        layers[output] = (0, outputs)
        return {part.module: NoAttention(layers, head_dim=part.head_dim, output=output)}
    empty = NoAttention(layers, head_dim=part.head_dim, output=None)
    return {part.module: empty, part.output: NoLinear(0, outputs)}


def _count_inputs(network: nn.Module, name: str) -> int:
    return read_layer_size(network.get_submodule(name))[0]


def _count_outputs(network: nn.Module, name: str) -> int:
    return read_layer_size(network.get_submodule(name))[1]
