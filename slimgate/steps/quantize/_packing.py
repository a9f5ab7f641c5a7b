"""Shared code of steps that store weights in few bits: packed layers, and the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slimgate.models.linear_layers import make_plain_embeddings
from slimgate.models.replace_modules import note_untied_tables, replace_modules_
from slimgate.steps.layers.grid import dequantize
from slimgate.steps.layers.packed import PackedEmbedding, PackedLinear, PackedWeight
from slimgate.steps.quantize._params import WeightGridParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json


def pack_embeddings(
    model: TorchModel, bits: int | None, params: WeightGridParams
) -> dict[str, PackedEmbedding]:
    """The token tables in `bits` bits with their nearest levels; empty if bits is None."""
    if bits is None:
        return {}
    scheme = params.make_scheme(bits)
    return {
        name: PackedEmbedding.from_embedding(table, scheme, observer=params.observer)
        for name, table in make_plain_embeddings(model).items()
    }


def put_packed_layers_(
    model: TorchModel,
    step_name: str,
    linear: Mapping[str, PackedLinear],
    embeddings: Mapping[str, PackedEmbedding],
    log: Json,
) -> None:
    """Replaces layers by packed ones. log gets counts, and bits a weight with its scales."""
    layers: dict[str, PackedWeight] = {**linear, **embeddings}
    log.update(note_untied_tables(model.network, layers))
    replace_modules_(model, step_name, layers)
    log.update(
        linear_layers=len(linear),
        embedding_tables=len(embeddings),
        bits_per_weight=round(_compute_bits_per_weight(list(layers.values())), 3),
    )


def compute_weight_error(model: TorchModel, layers: Mapping[str, PackedWeight]) -> float:
    """Norm of the rounding errors, as a share of the weights' norm, before the layers are replaced."""
    lost = total = 0.0
    for name, layer in layers.items():
        weight: Any = model.network.get_submodule(name).weight
        lost += float((dequantize(layer.unpack_levels(), layer.make_grid()) - weight.detach()).square().sum())
        total += float(weight.detach().square().sum())
    return (lost / total) ** 0.5 if total else 0.0


def _compute_bits_per_weight(layers: list[PackedWeight]) -> float:
    tensors = [tensor for layer in layers for tensor in (layer.packed, layer.scale, layer.zero_points)]
    stored = sum(8 * tensor.nbytes for tensor in tensors if tensor is not None)
    return stored / max(1, sum(layer.rows * layer.columns for layer in layers))
