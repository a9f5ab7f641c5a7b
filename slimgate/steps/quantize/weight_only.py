"""Stores weights in 2 to 8 bits, each rounded to the nearest level.

    { weight_only = { bits = 4, group_size = 64, embeddings = 8 } }
    { weight_only = { bits = 4, activations = "int8", embeddings = 4 } }

Layers that an earlier step has quantized stay unchanged: after binarize, only `embeddings` get fewer bits.
The weights take (bits + the scales' bits for each weight) / 32 of their space. With float activations, the
model gets no faster; with int8 activations (W4A8), it computes as after int8_dynamic. For 4 bits and fewer,
gptq loses less, because it takes the activations into account. Source: Gholami et al. 2021 (a survey),
sections III.B to III.E; signed scales as in nncf's INT4_SYM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.quantize._params import PackedParams, WeightGridParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(PackedParams, WeightGridParams):
    """Options of the grid, of what is quantized, and of how products are computed."""


class WeightOnly(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    claims = ("smaller",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with packed layers in place of float ones."""
        from slimgate.models.linear_layers import find_linear_layers
        from slimgate.steps.layers.packed import PackedLinear
        from slimgate.steps.quantize._packing import compute_weight_error, pack_embeddings, put_packed_layers_

        embeddings = pack_embeddings(model, params.embeddings, params)
        layers = find_linear_layers(
            model, inside="network", output=params.output_layer, other_changes=embeddings
        )
        linear = {
            name: PackedLinear.from_linear(
                layer, params.make_scheme(), observer=params.observer, activations=params.activations
            )
            for name, layer in layers.items()
        }
        context.log["weight_error"] = round(compute_weight_error(model, {**linear, **embeddings}), 5)
        put_packed_layers_(model, "weight_only", linear, embeddings, context.log)
        return model


step = WeightOnly()
