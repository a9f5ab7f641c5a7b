"""Stores weights in 2 to 8 bits, rounded so that the outputs on `calibration` rows change least.

    { gptq = { bits = 3, group_size = 64, embeddings = 8 } }

As weight_only, but the error of each column is made up for by the columns after it, as far as the layer's
inputs on the calibration rows allow; the grids weigh columns by those inputs too (observer "mse"). Blocks are
rounded one after the other, each on what the blocks before it, already rounded, hand on. Where a layer has a
bias, the mean change of its outputs is taken off it, unless bias_correction = false. damping: share of the
mean diagonal that is added to the Hessian. Token embeddings are rounded to the nearest level: there is
nothing to make up for in a lookup. It pays at 4 bits and fewer.
Source: Frantar et al. 2022, algorithm 1; order of columns by their diagonal and static groups as in its
reference code; bias correction: Nagel et al. 2019, section 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from slimgate.protocols import BuildContext
from slimgate.weight_grid_params import WeightGridParams

if TYPE_CHECKING:
    from torch import nn

    from slimgate.gptq import Inputs
    from slimgate.nn.packed import PackedLinear

takes = frozenset({"torch", "torch_quantized"})
gives = "torch_quantized"
reads: tuple[str, ...] = ("calibration",)
uses_teacher = False
stochastic = False
claims = ("smaller",)


class Params(WeightGridParams):
    """Options of the grid and of the rounding, and what is quantized beside the linear layers."""

    damping: float = Field(default=0.01, gt=0, le=1)
    bias_correction: bool = True
    embeddings: int | None = Field(default=None, ge=2, le=8)
    output_layer: bool = False


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model with packed layers, where it has float ones."""
    from slimgate.calibration import calibration_batches
    from slimgate.gptq import inputs_of, stages
    from slimgate.linear_layers import linear_layers
    from slimgate.packing import packed_embeddings, put_packed_

    batches = calibration_batches(model, context)
    layers = linear_layers(model, inside="network", output=params.output_layer)
    embeddings = packed_embeddings(model, params.embeddings, params)
    for name, table in embeddings.items():
        model.network.get_submodule(name).weight.data.copy_(table.weight)
    linear: dict[str, PackedLinear] = {}
    errors = []
    for stage in stages(model.network, layers):
        for name, inputs in inputs_of(model, stage, batches).items():
            linear[name], error = _round_(layers[name], inputs, params)
            errors.append(error)
        context.progress("gptq", len(linear), len(layers))
    put_packed_(model, "gptq", linear, embeddings, context.log)
    nearest, compensated = (round(sum(each) / len(errors), 5) for each in zip(*errors, strict=True))
    context.log.update(output_error_of_nearest=nearest, output_error=compensated)
    return model


def _round_(layer: nn.Linear, inputs: Inputs, params: Params) -> tuple[PackedLinear, tuple[float, float]]:
    """The packed layer, whose values the float one takes over, so that the next stage sees them; the errors
    of its outputs by rounding to the nearest level, and by this."""
    from slimgate.gptq import output_error, round_with_compensation
    from slimgate.grid_fitting import fit_grid
    from slimgate.nn.packed import PackedLinear
    from slimgate.weight_grid import dequantize, quantize

    corrected = params.bias_correction and layer.bias is not None
    hessian, weight = inputs.hessian(centred=corrected), layer.weight.detach().clone()
    grid = fit_grid(weight, params.scheme(), observer=params.observer, importance=hessian.diagonal())
    levels = round_with_compensation(weight, grid, hessian, damping=params.damping)
    rounded = dequantize(levels, grid)
    layer.weight.data.copy_(rounded)
    if corrected:
        layer.bias.data += ((weight - rounded).double() @ inputs.mean).float()
    nearest = dequantize(quantize(weight, grid), grid)
    errors = output_error(weight, nearest, hessian), output_error(weight, rounded, hessian)
    return PackedLinear.from_levels(levels, grid, bias=layer.bias), errors


def restore(network: Any, spec: dict[str, Any]) -> None:
    """Puts empty packed layers where the artifact has them."""
    from slimgate.replacing import restore as again

    again(network, spec)
