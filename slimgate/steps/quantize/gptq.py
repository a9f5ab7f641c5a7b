"""Stores weights in 2 to 8 bits, rounded so that the outputs on `calibration` rows change least.

    { gptq = { bits = 3, group_size = 64, embeddings = 8 } }
    { gptq = { bits = 4, activations = "int8", embeddings = 4 } }

It works like weight_only, but the columns after each column compensate its error, as far as the layer's
inputs on the calibration rows allow; the grids weigh columns by those inputs too (observer "mse"). Blocks are
rounded one after the other: each sees the outputs of the already rounded blocks before it. Token embeddings
are rounded to the nearest level, because a lookup cannot compensate errors. Pruned weights stay 0.
It pays at 4 bits and fewer.
Source: Frantar et al. 2022, algorithm 1; order of columns by their diagonal and static groups as in its
reference code; bias correction: Nagel et al. 2019, section 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.quantize._params import PackedParams, WeightGridParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(PackedParams, WeightGridParams):
    """Options of the grid and of the rounding, of what is quantized, and of how products are computed."""

    damping: float = Field(default=0.01, gt=0, le=1)
    """Share of the Hessian's mean diagonal that is added to its diagonal."""
    bias_correction: bool = True
    """Subtract the mean change of a layer's outputs from its bias, if the layer has a bias."""


class Gptq(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    reads = ("calibration",)
    claims = ("smaller",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with packed layers in place of float ones."""
        from slimgate.models.linear_layers import find_linear_layers
        from slimgate.steps.calibration import calibration_batches
        from slimgate.steps.layers.packed import PackedLinear
        from slimgate.steps.quantize._gptq import (
            Rounding,
            compensate_,
            compute_mean_errors,
            with_rounded_tables,
        )
        from slimgate.steps.quantize._packing import pack_embeddings, put_packed_layers_

        batches = calibration_batches(model, context)
        layers = find_linear_layers(model, inside="network", output=params.output_layer)
        embeddings = pack_embeddings(model, params.embeddings, params)
        rounding = Rounding(params.make_scheme(), params.observer, params.damping, params.bias_correction)
        with with_rounded_tables(model, {name: table.weight for name, table in embeddings.items()}):
            rounded = compensate_(model, layers, batches, rounding, context.progress)
        linear = {
            name: PackedLinear.from_levels(
                each.levels, each.grid, bias=layers[name].bias, activations=params.activations
            )
            for name, each in rounded.items()
        }
        put_packed_layers_(model, "gptq", linear, embeddings, context.log)
        context.log.update(compute_mean_errors(rounded))
        return model


step = Gptq()
