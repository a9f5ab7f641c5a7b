"""The linear layers of a model that are smaller without their zeros, stored so."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn

from slimgate.errors import BuildError
from slimgate.models.linear_layers import float_output_layer
from slimgate.models.plain_layers import to_plain_linear_
from slimgate.steps.layers.int8_linear import Int8Linear
from slimgate.steps.layers.int8_static_linear import Int8StaticLinear
from slimgate.steps.layers.packed import PackedLinear
from slimgate.steps.layers.sparse_integers import (
    SparseInt8Linear,
    SparseInt8StaticLinear,
    SparsePackedLinear,
)
from slimgate.steps.layers.sparse_linear import SparseLinear, SparseState, Values, state_bytes

INTEGERS: dict[
    type[nn.Module], type[SparseInt8Linear] | type[SparseInt8StaticLinear] | type[SparsePackedLinear]
] = {
    Int8Linear: SparseInt8Linear,
    Int8StaticLinear: SparseInt8StaticLinear,
    PackedLinear: SparsePackedLinear,
}


def sparse_layers(model: Any, values: Values) -> tuple[dict[str, SparseState], int, int]:
    """(name -> sparse layer, bytes of these layers before, and after). values: of float layers.

    Raises BuildError where no layer would become smaller.
    """
    to_plain_linear_(model)
    layers: dict[str, SparseState] = {}
    total_before = total_after = 0
    candidates = _candidates(model)
    for name, layer in candidates.items():
        sparse = _sparse(layer, values)
        before, after = state_bytes(layer), state_bytes(sparse)
        if after < before:
            layers[name] = sparse
            total_before, total_after = total_before + before, total_after + after
    if not layers:
        raise BuildError(
            f"sparse_storage: none of {len(candidates)} linear layers would become smaller with values of "
            f'{values}: prune first (magnitude_prune, …), or set values = "float16"'
        )
    return layers, total_before, total_after


def _sparse(layer: nn.Module, values: Values) -> SparseState:
    if isinstance(layer, nn.Linear):
        return SparseLinear.from_linear(layer, values=values)
    return INTEGERS[type(layer)].from_dense(layer)


def _candidates(model: Any) -> dict[str, nn.Module]:
    """Linear layers but the one of the logits; a weight that is an embedding's too would be untied.

    Of affine grids another level is 0 in each group: those layers stay as they are.
    """
    uses = Counter(id(p) for m in model.network.modules() for p in m.parameters(recurse=False))
    last = float_output_layer(model)
    return {
        name: module
        for name, module in model.network.named_modules()
        if type(module) in (nn.Linear, *INTEGERS)
        and module is not last
        and all(uses[id(parameter)] < 2 for parameter in module.parameters())
        and not (isinstance(module, PackedLinear) and not module.scheme.symmetric)
    }
