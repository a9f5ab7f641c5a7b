"""What steps that store weights in few bits have in common: packed layers put in, and the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slimgate.nn.packed import PackedEmbedding, PackedLinear, PackedWeight
from slimgate.replacing import replace_modules_
from slimgate.token_embeddings import token_embeddings
from slimgate.weight_grid import dequantize
from slimgate.weight_grid_params import WeightGridParams


def packed_embeddings(model: Any, bits: int | None, params: WeightGridParams) -> dict[str, PackedEmbedding]:
    """The token tables in `bits` bits with their nearest levels; none where bits is None."""
    if bits is None:
        return {}
    scheme = params.scheme(bits)
    return {
        name: PackedEmbedding.from_embedding(table, scheme, observer=params.observer)
        for name, table in token_embeddings(model.network).items()
    }


def put_packed_(
    model: Any,
    method: str,
    linear: Mapping[str, PackedLinear],
    embeddings: Mapping[str, PackedEmbedding],
    log: dict[str, Any],
) -> None:
    """Replaces layers by packed ones. log gets counts, bits a weight with scales, and relative errors."""
    layers: dict[str, PackedWeight] = {**linear, **embeddings}
    errors = {
        name: _relative_error(model.network.get_submodule(name).weight, layers[name]) for name in layers
    }
    replace_modules_(model, method, layers)
    log.update(
        linear_layers=len(linear),
        embedding_tables=len(embeddings),
        bits_per_weight=round(_bits_per_weight(list(layers.values())), 3),
        largest_weight_error=_largest(errors),
    )


def _relative_error(weight: Any, layer: PackedWeight) -> float:
    lost = dequantize(layer.levels(), layer.grid()).sub_(weight.detach()).norm()
    return float(lost / weight.detach().norm().clamp(min=1e-30))


def _largest(errors: Mapping[str, float]) -> dict[str, float]:
    worst = max(errors, key=lambda name: errors[name], default=None)
    return {} if worst is None else {worst: round(errors[worst], 4)}


def _bits_per_weight(layers: list[PackedWeight]) -> float:
    held = [tensor for layer in layers for tensor in (layer.packed, layer.scale, layer.zero_points)]
    stored = sum(8 * tensor.nbytes for tensor in held if tensor is not None)
    return stored / max(1, sum(layer.rows * layer.columns for layer in layers))
