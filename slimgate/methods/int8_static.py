"""Quantizes linear layers to int8, activations by ranges that calibration rows have shown.

    { int8_static = { observer = "mse", smooth_alpha = 0.5, embeddings = true } }

Weights: symmetric int8, a scale per output channel. Activations: 256 levels over a range fixed beforehand, so
that nothing is computed from them when the layer is called: faster than int8_dynamic, and a row's outcome
does not depend on what else is in its batch. `observer` says which range of what the layer receives on
`calibration` is covered: "minmax", "percentile" (with a `percentile`), "mse" or "entropy"
(slimgate/observers.py); values outside take its ends. Padding does not count.
`smooth_alpha` (0 to 1; left out, nothing is moved) divides each input channel by a number and multiplies the
weights by it, because some channels of a transformer are far larger than others. The divisor goes into the
layer's own scale, which costs no time; folding it into the LayerNorm before would change the residual of a
BERT, whose LayerNorms feed both. The layer that gives the logits stays in float32 unless output_layer = true.
Sources: Jacob et al. 2018, section 2; Xiao et al. 2022 (SmoothQuant); slimgate/observers.py.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from slimgate.protocols import BuildContext
from slimgate.tables import Table

takes = frozenset({"torch", "torch_quantized"})
gives = "torch_quantized"
reads = ("calibration",)
uses_teacher = False
stochastic = False
claims = ("smaller", "faster")
PERCENTILE = 99.99


class Params(Table):
    """How ranges are found, and what is quantized beside the linear layers inside the model."""

    observer: Literal["minmax", "percentile", "mse", "entropy"] = "mse"
    percentile: float | None = Field(default=None, gt=50, le=100)
    smooth_alpha: float | None = Field(default=None, ge=0, le=1)
    embeddings: bool = False
    output_layer: bool = False

    @model_validator(mode="after")
    def _percentile_has_its_observer(self) -> Params:
        if self.percentile is not None and self.observer != "percentile":
            raise ValueError(f'percentile goes with observer = "percentile", but "{self.observer}" came')
        return self


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model with static int8 layers, where it has float ones that calibration rows reach."""
    from slimgate.activation_ranges import channel_ranges, input_ranges, smoothing_divisors
    from slimgate.calibration import calibration_batches
    from slimgate.linear_layers import linear_layers
    from slimgate.nn.int8_linear import Int8Embedding
    from slimgate.nn.int8_static_linear import Int8StaticLinear
    from slimgate.replacing import replace_modules_
    from slimgate.token_embeddings import token_embeddings

    found = linear_layers(model, inside="network", output=params.output_layer)
    batches = calibration_batches(model, context)
    seen = channel_ranges(model, found, batches)
    layers = {name: layer for name, layer in found.items() if name in seen}
    alpha, divisors = params.smooth_alpha, {}
    if alpha is not None:
        divisors = {n: smoothing_divisors(seen[n], m.weight, alpha=alpha) for n, m in layers.items()}
    ranges = input_ranges(
        model,
        layers,
        batches,
        seen,
        divisors,
        observer=params.observer,
        percentile=params.percentile or PERCENTILE,
    )
    modules: dict[str, Any] = {
        name: Int8StaticLinear.from_linear(
            layer, low=ranges[name][0], high=ranges[name][1], smoothing=divisors.get(name)
        )
        for name, layer in layers.items()
    }
    tables = token_embeddings(model.network) if params.embeddings else {}
    modules |= {name: Int8Embedding.from_embedding(table) for name, table in tables.items()}
    replace_modules_(model, "int8_static", modules)
    _tell(context, layers, tables, found, ranges, seen, divisors)
    return model


def _tell(
    context: BuildContext, layers: Any, tables: Any, found: Any, ranges: Any, seen: Any, divisors: Any
) -> None:
    context.log.update(
        linear_layers=len(layers),
        embedding_tables=len(tables),
        not_reached=sorted(found.keys() - layers.keys()),
        ranges={name: [float(f"{end:.4g}") for end in ranges[name]] for name in layers},
        share_of_seen_range=_mean_share(ranges, {n: seen[n].over(divisors.get(n)) for n in layers}),
    )


def _mean_share(ranges: Any, whole: Any) -> float:
    """How much of the values' whole range the levels cover, on average over the layers."""
    shares = [
        (ranges[name][1] - ranges[name][0]) / (high - low)
        for name, (low, high) in whole.items()
        if high > low
    ]
    return round(sum(shares) / max(len(shares), 1), 4)


def restore(network: Any, spec: dict[str, Any]) -> None:
    """Puts empty static int8 layers where the artifact has them."""
    from slimgate.replacing import restore as again

    again(network, spec)
