"""Options of every step that stores weights in few bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.params import Table

if TYPE_CHECKING:
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
