"""Options of every step that stores weights in few bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.params import Table

if TYPE_CHECKING:
    from slimgate.compress.layers.grid import Scheme


class PackedParams(Table):
    """What is stored in few bits beside the linear layers inside the model, and how those compute.

    activations: of the linear layers, "float32", or "int8": a scale and zero point per row, as in
    int8_dynamic, on weights rounded once more, to 8 bits a channel. embeddings: bits of the token embeddings,
    which stay float where it is not given; output_layer: also the layer that gives the logits.
    """

    activations: Literal["float32", "int8"] = "float32"
    embeddings: int | None = Field(default=None, ge=2, le=8)
    output_layer: bool = False


class WeightGridParams(Table):
    """bits: of a weight in the linear layers, 2 to 8.

    granularity: what shares a scale: "group" (group_size neighbours in a row), "channel" (a row) or "tensor";
    symmetric = false adds a zero point to each scale; observer "minmax" or "mse": layers/grid.py.
    """

    bits: int = Field(default=4, ge=2, le=8)
    granularity: Literal["group", "channel", "tensor"] = "group"
    group_size: int = Field(default=64, ge=8, le=4096)
    symmetric: bool = True
    observer: Literal["minmax", "mse"] = "mse"

    def scheme(self, bits: int | None = None) -> Scheme:
        """The form of the grids, of `bits` where given."""
        from slimgate.compress.layers.grid import Scheme

        return Scheme(bits or self.bits, self.granularity, self.group_size, self.symmetric)
