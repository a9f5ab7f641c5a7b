"""The linear layers of a model that are smaller without their zeros, stored so."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn

from slimgate.blocks import output_layer
from slimgate.errors import BuildError
from slimgate.linear_layers import conv1d_to_linear_
from slimgate.nn.int8_linear import Int8Linear
from slimgate.nn.sparse_linear import SparseInt8Linear, SparseLinear, Values, sparse_bytes

Sparse = SparseLinear | SparseInt8Linear


def sparse_layers(model: Any, values: Values) -> tuple[dict[str, Sparse], int, int]:
    """(name -> sparse layer, bytes of their weights before, and after).

    Raises BuildError where no layer would become smaller.
    """
    conv1d_to_linear_(model)
    found: dict[str, Sparse] = {}
    total_before = total_after = 0
    candidates = _candidates(model)
    for name, layer in candidates.items():
        before, after = sparse_bytes(layer, values)
        if after < before:
            found[name] = (
                SparseInt8Linear.from_int8(layer)
                if isinstance(layer, Int8Linear)
                else SparseLinear.from_linear(layer, values=values)
            )
            total_before, total_after = total_before + before, total_after + after
    if not found:
        raise BuildError(
            f"sparse_storage: none of {len(candidates)} linear layers (float or int8) would become smaller "
            f'as {values}: prune first (magnitude_prune, …), or set values = "float16"'
        )
    return found, total_before, total_after


def _candidates(model: Any) -> dict[str, nn.Linear | Int8Linear]:
    """Linear layers but the one of the logits; a weight that is an embedding's too would be untied."""
    uses = Counter(id(p) for m in model.network.modules() for p in m.parameters(recurse=False))
    last = _output_layer(model)
    return {
        name: module
        for name, module in model.network.named_modules()
        if type(module) in (nn.Linear, Int8Linear) and module is not last and uses[id(module.weight)] < 2
    }


def _output_layer(model: Any) -> nn.Linear | None:
    try:
        return output_layer(model.network, model.config.num_labels)
    except BuildError:
        return None  # it is int8 already, which rounds no further
