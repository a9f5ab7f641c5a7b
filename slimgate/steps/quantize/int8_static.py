"""Quantizes linear layers to int8, with activation ranges from calibration rows.

    { int8_static = { observer = "mse", embeddings = true } }

Weights: symmetric int8, a scale per output channel. Activations: 256 levels over a range fixed beforehand, so
that a call does not measure them: it is faster than int8_dynamic, and a row's outcome does not depend on the
rest of its batch. Values outside the range become its ends. Padding does not count.
`smooth_alpha` divides each input channel by a number and multiplies the weights by it, because some channels
of a transformer are far larger than others. 0.8 brought all-MiniLM-L6-v2's answers 3 to 4 times nearer to
float32's than no smoothing; the paper's 0.5 did not. The divisor becomes part of the layer's own scale, which
costs no time. Merged into the LayerNorm before, as in the paper, it would change the residual of a BERT,
whose LayerNorms feed both.
Sources: Jacob et al. 2018, section 2; Xiao et al. 2022 (SmoothQuant); slimgate/steps/observers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.observers import (
    BINS,
    PERCENTILE,
    Histogram,
    ObserverParams,
    SmoothAlpha,
    observe,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.calibration import Batch

Ranges = dict[str, tuple[float, float]]
_SMALLEST = 1e-5


class Params(ObserverParams):
    smooth_alpha: SmoothAlpha = 0.8
    """SmoothQuant's alpha: the share of the quantization difficulty that moves from activations to weights;
    false: no SmoothQuant."""
    embeddings: bool = False
    """Also quantize the token embeddings."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""


class Int8Static(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    reads = ("calibration",)
    claims = ("smaller", "faster")

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with static int8 layers in place of float ones that calibration rows reach."""
        from slimgate.models.linear_layers import find_linear_layers, make_plain_embeddings
        from slimgate.models.replace_modules import note_untied_tables, replace_modules_
        from slimgate.steps.calibration import calibration_batches
        from slimgate.steps.layers.int8_linear import Int8Embedding
        from slimgate.steps.layers.int8_static_linear import Int8StaticLinear

        linear = find_linear_layers(model, inside="network", output=params.output_layer)
        batches = calibration_batches(model, context)
        seen = compute_channel_ranges(model, linear, batches)
        layers = {name: layer for name, layer in linear.items() if name in seen}
        divisors = _compute_divisors(layers, seen, params.smooth_alpha)
        ranges = compute_input_ranges(model, layers, batches, seen, divisors, params)
        tables = make_plain_embeddings(model) if params.embeddings else {}
        static_layers: dict[str, Any] = {
            name: Int8StaticLinear.from_linear(
                layer, low=ranges[name][0], high=ranges[name][1], smoothing=divisors.get(name)
            )
            for name, layer in layers.items()
        }
        static_layers |= {name: Int8Embedding.from_embedding(table) for name, table in tables.items()}
        context.log.update(note_untied_tables(model.network, static_layers))
        replace_modules_(model, "int8_static", static_layers)
        full_ranges = {name: seen[name].divide_by(divisors.get(name)) for name in layers}
        context.log.update(
            linear_layers=len(layers),
            embedding_tables=len(tables),
            not_reached=sorted(linear.keys() - layers.keys()),
            ranges={name: [float(f"{end:.4g}") for end in ranges[name]] for name in layers},
            share_of_seen_range=_compute_mean_share(ranges, full_ranges),
        )
        return model


step = Int8Static()


def _compute_divisors(
    layers: Mapping[str, nn.Linear], seen: Mapping[str, ChannelRange], alpha: float
) -> dict[str, Any]:
    if alpha is False:
        return {}
    return {name: compute_smoothing_divisors(seen[name], m.weight, alpha=alpha) for name, m in layers.items()}


def _compute_mean_share(ranges: Ranges, full_ranges: Ranges) -> float:
    """The share of the values' whole range that the levels cover, as a mean over the layers."""
    wide = {name: high - low for name, (low, high) in full_ranges.items() if high > low}
    shares = [(ranges[name][1] - ranges[name][0]) / width for name, width in wide.items()]
    return round(sum(shares) / max(len(shares), 1), 4)


@dataclass(frozen=True)
class ChannelRange:
    """The least and the largest value of each input channel: (in_features,) each."""

    low: Tensor
    high: Tensor

    def divide_by(self, divisors: Tensor | None) -> tuple[float, float]:
        """(low, high) of all channels, each divided by its divisor; 0 is always inside."""
        low, high = self.low, self.high
        if divisors is not None:
            low, high = low / divisors, high / divisors
        return min(float(low.min()), 0.0), max(float(high.max()), 0.0)


def compute_channel_ranges(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, ChannelRange]:
    """Layer -> range by channel; a layer without inputs is left out.

    Raises BuildError if a layer receives NaN or infinity.
    """
    import torch

    from slimgate.steps.calibration import watch_inputs

    ranges: dict[str, ChannelRange] = {}

    def widen(name: str, tokens: Tensor) -> None:
        if not len(tokens):
            return
        low, high = tokens.float().aminmax(dim=0)
        if name in ranges:
            low, high = torch.minimum(low, ranges[name].low), torch.maximum(high, ranges[name].high)
        ranges[name] = ChannelRange(low, high)

    watch_inputs(model, layers, batches, widen)
    for name, channels in ranges.items():
        if not bool(torch.isfinite(channels.low + channels.high).all()):
            raise BuildError(
                f"{name} receives NaN or infinity on the calibration rows, so the model is broken"
            )
    return ranges


def compute_smoothing_divisors(seen: ChannelRange, weight: Tensor, *, alpha: float) -> Tensor:
    """max|input|^alpha / max|weight|^(1 - alpha) by input channel: (in_features,).

    Inputs are divided and weights multiplied by it; alpha is the share of the difficulty that moves from the
    activations to the weights. Source: Xiao et al. 2022 (SmoothQuant), equation 4.
    """
    import torch

    inputs = torch.maximum(seen.low.abs(), seen.high.abs()).clamp_min(_SMALLEST)
    weights = weight.detach().float().abs().amax(dim=0).clamp_min(_SMALLEST)
    return inputs**alpha / weights ** (1 - alpha)


def compute_input_ranges(
    model: TorchModel,
    layers: Mapping[str, nn.Linear],
    batches: list[Batch],
    seen: Mapping[str, ChannelRange],
    divisors: Mapping[str, Tensor],
    params: ObserverParams,
) -> dict[str, tuple[float, float]]:
    """Layer -> the (low, high) that its levels cover, of inputs divided by its divisors."""
    import torch

    from slimgate.steps.calibration import watch_inputs

    whole_ranges = {name: seen[name].divide_by(divisors.get(name)) for name in layers}
    if params.observer == "minmax":
        return whole_ranges
    counts = {name: np.zeros(BINS) for name in layers}

    def count(name: str, tokens: Tensor) -> None:
        values = tokens.float() / divisors[name] if name in divisors else tokens.float()
        low, high = whole_ranges[name]
        if high > low:
            counts[name] += torch.histc(values.cpu(), BINS, min=low, max=high).double().numpy()

    watch_inputs(model, layers, batches, count)
    percentile = params.percentile or PERCENTILE
    return {
        name: observe(params.observer, Histogram(counts[name], *whole_ranges[name]), percentile=percentile)
        for name in layers
    }
