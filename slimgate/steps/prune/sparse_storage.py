"""Stores the linear layers without their zeros, so that pruning makes the artifact smaller.

    { sparse_storage = { values = "float16" } }

Each matrix becomes the values other than 0, in order, and a pattern of their positions, in the layout with
the fewest bytes: a bit per weight, 2/3 bit for 2:4, gaps if nearly all is 0. Layers of int8_dynamic,
int8_static, weight_only and gptq (symmetric) keep their integers and their outputs, in 8 to 2 bits: prune,
train, weight_only or gptq, sparse_storage.

The model is smaller on disk, not faster: loading unpacks the matrices once, and they are computed densely. It
is the last step, because the layers can no longer be trained. A layer that would not become smaller stays
unchanged, and so does the layer that gives the logits. Source: bit masks and gaps as in Han et al. 2016 (Deep
Compression), section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from torch import nn

    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.layers.sparse_linear import (
        SparseInt8Linear,
        SparseInt8StaticLinear,
        SparsePackedLinear,
        SparseState,
        Values,
    )


class Params(Table):
    values: Literal["float32", "float16", "int8"] = Field(default="float32")
    """Format of the nonzero values of float layers; "float32" keeps the outputs unchanged, "int8" has a scale
    per output channel."""


class SparseStorage(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    claims = ("smaller",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with layers that store no zeros. Raises BuildError if none would become smaller."""
        from slimgate.models.replace_modules import replace_modules_

        layers, before, after = make_sparse_layers(model, params.values)
        replace_modules_(model, "sparse_storage", layers)
        context.log.update(layers=len(layers), layer_bytes_before=before, layer_bytes_after=after)
        context.log["layouts"] = {
            layout: sum(layer.layout == layout for layer in layers.values())
            for layout in sorted({layer.layout for layer in layers.values()})
        }
        return model


step = SparseStorage()


def make_sparse_layers(model: TorchModel, values: Values) -> tuple[dict[str, SparseState], int, int]:
    """(name -> sparse layer, bytes of these layers before, and after). values: of float layers.

    Raises BuildError if no layer would become smaller.
    """
    from slimgate.models.plain_layers import convert_to_linear_
    from slimgate.steps.layers.sparse_linear import count_state_bytes

    convert_to_linear_(model)
    layers: dict[str, SparseState] = {}
    total_before = total_after = 0
    candidates = _list_candidates(model)
    for name, layer in candidates.items():
        sparse = _make_sparse_layer(layer, values)
        before, after = count_state_bytes(layer), count_state_bytes(sparse)
        if after < before:
            layers[name] = sparse
            total_before, total_after = total_before + before, total_after + after
    if not layers:
        raise BuildError(
            f"sparse_storage: none of {len(candidates)} linear layers would become smaller with values of "
            f'{values}: prune first (magnitude_prune, …), or set values = "float16"'
        )
    return layers, total_before, total_after


def _list_integer_forms() -> Mapping[
    type[nn.Module], type[SparseInt8Linear] | type[SparseInt8StaticLinear] | type[SparsePackedLinear]
]:
    """A layer with integers -> the same without its zeros."""
    from slimgate.steps.layers.int8_linear import Int8Linear
    from slimgate.steps.layers.int8_static_linear import Int8StaticLinear
    from slimgate.steps.layers.packed import PackedLinear
    from slimgate.steps.layers.sparse_linear import (
        SparseInt8Linear,
        SparseInt8StaticLinear,
        SparsePackedLinear,
    )

    return {
        Int8Linear: SparseInt8Linear,
        Int8StaticLinear: SparseInt8StaticLinear,
        PackedLinear: SparsePackedLinear,
    }


def _make_sparse_layer(layer: nn.Module, values: Values) -> SparseState:
    from torch import nn

    from slimgate.steps.layers.sparse_linear import SparseLinear

    if isinstance(layer, nn.Linear):
        return SparseLinear.from_linear(layer, values=values)
    return _list_integer_forms()[type(layer)].from_dense(layer)


def _list_candidates(model: TorchModel) -> dict[str, nn.Module]:
    """Linear layers without the one of the logits; a weight shared with an embedding would be untied.

    In affine grids the level of 0 differs between groups: those layers stay unchanged.
    """
    from torch import nn

    from slimgate.models.blocks import find_logits_layer
    from slimgate.steps.layers.packed import PackedLinear

    uses = Counter(id(p) for m in model.network.modules() for p in m.parameters(recurse=False))
    last, kinds = find_logits_layer(model.network), (nn.Linear, *_list_integer_forms())
    return {
        name: module
        for name, module in model.network.named_modules()
        if type(module) in kinds
        and module is not last
        and all(uses[id(parameter)] < 2 for parameter in module.parameters())
        and not (isinstance(module, PackedLinear) and not module.scheme.symmetric)
    }
