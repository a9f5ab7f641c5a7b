"""What range each linear layer's inputs have on calibration rows, and how to even out their channels.

seen = channel_ranges(model, layers, batches)
divisors = {name: smoothing_divisors(seen[name], layer.weight, alpha=0.5) for name, layer in …}
ranges = input_ranges(model, layers, batches, seen, divisors, observer="mse")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.steps.calibration import Batch, watch_inputs
from slimgate.steps.observers import BINS, Histogram, Observer, observe

_SMALLEST = 1e-5


@dataclass(frozen=True)
class ChannelRange:
    """The least and the largest value of each input channel: (in_features,) each."""

    low: Tensor
    high: Tensor

    def over(self, divisors: Tensor | None) -> tuple[float, float]:
        """(low, high) of all channels, each divided by its own number; 0 is always inside."""
        low, high = self.low, self.high
        if divisors is not None:
            low, high = low / divisors, high / divisors
        return min(float(low.min()), 0.0), max(float(high.max()), 0.0)


def channel_ranges(
    model: Any, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, ChannelRange]:
    """Layer -> range by channel; a layer that received nothing is left out.

    Raises BuildError where a layer receives NaN or infinity.
    """
    ranges: dict[str, ChannelRange] = {}

    def see(name: str, tokens: Tensor) -> None:
        if not len(tokens):
            return
        low, high = tokens.float().aminmax(dim=0)
        if name in ranges:
            low, high = torch.minimum(low, ranges[name].low), torch.maximum(high, ranges[name].high)
        ranges[name] = ChannelRange(low, high)

    watch_inputs(model, layers, batches, see)
    for name, seen in ranges.items():
        if not bool(torch.isfinite(seen.low + seen.high).all()):
            raise BuildError(f"{name} receives NaN or infinity on the calibration rows: the model is broken")
    return ranges


def smoothing_divisors(seen: ChannelRange, weight: Tensor, *, alpha: float) -> Tensor:
    """max|input|^alpha / max|weight|^(1 - alpha) by input channel: (in_features,).

    Inputs are divided and weights multiplied by it; alpha is the share of the difficulty that moves from the
    activations to the weights. Source: Xiao et al. 2022 (SmoothQuant), equation 4.
    """
    inputs = torch.maximum(seen.low.abs(), seen.high.abs()).clamp_min(_SMALLEST)
    weights = weight.detach().float().abs().amax(dim=0).clamp_min(_SMALLEST)
    return inputs**alpha / weights ** (1 - alpha)


def input_ranges(
    model: Any,
    layers: Mapping[str, nn.Linear],
    batches: list[Batch],
    seen: Mapping[str, ChannelRange],
    divisors: Mapping[str, Tensor],
    *,
    observer: Observer,
    percentile: float,
) -> dict[str, tuple[float, float]]:
    """Layer -> the (low, high) that its levels shall cover, of inputs divided by its divisors."""
    whole_ranges = {name: seen[name].over(divisors.get(name)) for name in layers}
    if observer == "minmax":
        return whole_ranges
    counts = {name: np.zeros(BINS) for name in layers}

    def see(name: str, tokens: Tensor) -> None:
        values = tokens.float() / divisors[name] if name in divisors else tokens.float()
        low, high = whole_ranges[name]
        if high > low:
            counts[name] += torch.histc(values.cpu(), BINS, min=low, max=high).double().numpy()

    watch_inputs(model, layers, batches, see)
    return {
        name: observe(observer, Histogram(counts[name], *whole_ranges[name]), percentile=percentile)
        for name in layers
    }
