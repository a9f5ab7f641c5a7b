"""Trains the model with its weights rounded to k bits, so that it answers well with rounded weights.

    { quantization_aware_training = { bits = 2, epochs = 2 } }, { weight_only = { bits = 2 } }

The forward pass computes with rounded weights, the backward pass changes the float weights that they come
from.

The loss is that of distill, with all its options: alpha = 1 learns from the labels alone. Afterwards the
float weights lie on the grid, so that weight_only with the same bits, granularity, group_size and symmetric
packs them without any further loss. Any training after this step leaves the grid again; zeros of an earlier
pruning stay.

Source: Jacob et al. 2018, section 3; Esser et al. 2020 (learned scales).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.steps.finetune import distill
from slimgate.steps.quantize._params import WeightGridParams

if TYPE_CHECKING:
    from torch import nn

    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.layers.grid import Grid, Scheme


class Params(distill.Params, WeightGridParams):
    """Options of the grid and of distillation, and what is quantized in addition to the linear layers."""

    start: Literal["nearest", "gptq"] = "nearest"
    """Rounding of the weights before training: to the nearest level ("nearest"), or as the step gptq does,
    with `calibration` rows ("gptq")."""
    learned_scales: bool = True
    """true: the scales are trained with the weights; false: the scales keep their values from before
    training."""
    embeddings: int | None = Field(default=None, ge=2, le=8)
    """Number of bits of the token embeddings; default: the embeddings stay float. If the output layer shares
    the embedding table, the output layer gets its own copy: in float, unless output_layer is true."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""


class QuantizationAwareTraining(distill.Distill[Params]):
    reads = (*distill.Distill.reads, "calibration")

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, if weights start from the nearest levels."""
        return ("calibration",) if params.start == "nearest" else ()

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after training, its weights on the grid."""
        from slimgate.models.linear_layers import find_linear_layers, make_plain_embeddings
        from slimgate.models.sparsity import list_pruned_layers
        from slimgate.steps.quantize._quantization_aware_training import with_fake_quantization

        linear = find_linear_layers(model, inside="network", output=params.output_layer)
        tables = make_plain_embeddings(model) if params.embeddings else {}
        if params.start == "gptq":
            _start_by_gptq_(model, linear, params, context)
        grids = _fit_grids(linear, params.make_scheme(), params) | _fit_grids(
            tables, params.make_scheme(params.embeddings), params
        )
        pruned = list_pruned_layers(model)
        with with_fake_quantization(
            {**linear, **tables}, grids, learned=params.learned_scales, pruned=pruned
        ) as rounding:
            model = distill.distill_model(model, params, context)
            changes = [each.change() for each in rounding.values()]
        context.log.update(
            linear_layers=len(linear),
            embedding_tables=len(tables),
            bits=params.bits,
            scale_change=round(math.fsum(changes) / max(1, len(changes)), 4),
        )
        return model


step = QuantizationAwareTraining()


def _fit_grids(
    layers: Mapping[str, nn.Linear | nn.Embedding], scheme: Scheme, params: Params
) -> dict[str, Grid]:
    from slimgate.steps.layers.grid import fit_grid

    return {name: fit_grid(layer.weight, scheme, observer=params.observer) for name, layer in layers.items()}


def _start_by_gptq_(
    model: TorchModel, layers: Mapping[str, nn.Linear], params: Params, context: BuildContext
) -> None:
    from slimgate.steps.calibration import calibration_batches
    from slimgate.steps.quantize._gptq import Rounding, compensate_, compute_mean_errors

    rounding = Rounding(params.make_scheme(), params.observer)
    batches = calibration_batches(model, context)
    context.log.update(compute_mean_errors(compensate_(model, layers, batches, rounding, context.progress)))
