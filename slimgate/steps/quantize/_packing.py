"""Shared code of steps that store weights in few bits: their options, packed layers, and the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.models.replace_modules import note_untied_tables, replace_modules_
from slimgate.models.token_embeddings import make_plain_embeddings
from slimgate.plugins.params import Table
from slimgate.steps.layers.grid import dequantize
from slimgate.steps.layers.packed import PackedEmbedding, PackedLinear, PackedWeight

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json
    from slimgate.steps.layers.grid import Scheme


class PackedParams(Table):
    """What is stored in few bits in addition to the inner linear layers, and how these compute."""

    activations: Literal["float32", "int8"] = "float32"
    """Format of the linear layers' inputs: "int8" rounds the inputs row by row, as int8_dynamic does, and
    also rounds the weights once more, to 8 bits with a scale for each channel."""
    embeddings: int | None = Field(default=None, ge=2, le=8)
    """Number of bits of the token embeddings; default: the embeddings stay float. If the output layer shares
    the embedding table, as in GPT-2 and many small decoders, the output layer gets its own copy: in float,
    unless output_layer is true."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""


class WeightGridParams(Table):
    """The levels that a weight may have (layers/grid.py)."""

    bits: int = Field(default=4, ge=2, le=8)
    """Number of bits of a weight in the linear layers."""
    granularity: Literal["group", "channel", "tensor"] = "group"
    """Which weights share a scale: group_size adjacent weights in a row ("group"), a row ("channel"), or
    the whole matrix ("tensor")."""
    group_size: int = Field(default=64, ge=8, le=4096)
    """Number of weights in a group that shares a scale."""
    symmetric: bool = True
    """Use the same levels on both sides of 0; false adds a zero point to each scale."""
    observer: Literal["minmax", "mse"] = "mse"
    """Range of the levels: "mse" clips to the least squared error, "minmax" clips nothing."""

    def make_scheme(self, bits: int | None = None) -> Scheme:
        """The form of the grids, with `bits` if it is set."""
        from slimgate.steps.layers.grid import Scheme

        return Scheme(bits or self.bits, self.granularity, self.group_size, self.symmetric)


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
