"""Linear and embedding layers whose weights are stored in 2 to 8 bits, for inference.

    layer = PackedLinear.from_linear(nn.Linear(384, 1536), Scheme(bits=4))
    table = PackedEmbedding.from_embedding(nn.Embedding(30522, 384), Scheme(bits=8, granularity="channel"))

The state is plain tensors: `packed` (rows, bytes of a row) uint8 without gaps, `scale` float16 (float32 if
the weights are too small or too large for it), for affine grids `zero_points`, also packed, and `bias`
float32. So files are small. With float activations a PackedLinear takes no less memory and no less time than
an nn.Linear: its first call makes a float32 weight, which stays outside the state. With int8 activations it
makes an Int8Linear of that weight, and is as fast. PackedEmbedding unpacks only the rows of a lookup.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate.errors import BuildError
from slimgate.steps.layers.bit_packing import count_packed_bytes, pack, unpack
from slimgate.steps.layers.described import DerivingLayer, copy_bias, make_frozen_parameter
from slimgate.steps.layers.grid import Grid, Observer, Scheme, dequantize, fit_grid, quantize
from slimgate.steps.layers.int8_linear import Int8Linear

Activations = Literal["float32", "int8"]


class PackedWeight(DerivingLayer):
    """A matrix (rows, columns) of k-bit levels with its grid."""

    derived: ClassVar[tuple[str, ...]] = ("_weight", "_zeros")
    packed: Tensor
    scale: Tensor
    zero_points: Tensor | None
    _weight: Tensor | None
    _zeros: Tensor | None

    def __init__(
        self, rows: int, columns: int, *, scale_dtype: str = "float16", **scheme_options: Any
    ) -> None:
        """scheme_options: those of a Scheme."""
        super().__init__()
        scheme = Scheme(**scheme_options)
        self.rows, self.columns, self.scheme = rows, columns, scheme
        shape = scheme.compute_scale_shape(rows, columns)
        self.register_buffer(
            "packed", torch.zeros(rows, count_packed_bytes(columns, scheme.bits), dtype=torch.uint8)
        )
        self.register_buffer("scale", torch.ones(shape, dtype=getattr(torch, scale_dtype)))
        zero_points = torch.zeros(1, count_packed_bytes(shape[0] * shape[1], scheme.bits), dtype=torch.uint8)
        self.register_buffer("zero_points", None if scheme.symmetric else zero_points)

    @property
    def weight(self) -> Tensor:
        """(rows, columns) float32 weight without a gradient. It is made at its first use, and stored."""
        if self._weight is None:
            with torch.inference_mode(False), torch.no_grad():
                self._weight = dequantize(self.unpack_levels(), self.make_grid())
        return self._weight

    def unpack_levels(self) -> Tensor:
        """(rows, columns) uint8 levels."""
        return unpack(self.packed, self.scheme.bits, self.columns)

    def make_grid(self) -> Grid:
        """The values that the levels represent."""
        return Grid(self.scheme, self.scale, self._zero_point())

    def weight_numbers(self) -> tuple[int, int]:
        """The number of weights that parameters() does not list, and how many of them are not zero."""
        return self.rows * self.columns, int(
            torch.count_nonzero(dequantize(self.unpack_levels(), self.make_grid()))
        )

    def set_levels_(self, levels: Tensor, grid: Grid) -> Self:
        """Sets levels (rows, columns) on a grid with this layer's scheme; returns self for chaining.

        Raises BuildError for another shape or scheme.
        """
        if grid.scheme != self.scheme or levels.shape != (self.rows, self.columns):
            raise BuildError(
                f"{type(self).__name__} ({self.rows}, {self.columns}) of {self.scheme} was given levels "
                f"{tuple(levels.shape)} of {grid.scheme}"
            )
        self.packed, self.scale = pack(levels, self.scheme.bits), grid.scale.clone()
        if self.zero_points is not None:
            self.zero_points = pack(grid.zero_point.reshape(1, -1), self.scheme.bits)
        self.forget()
        return self

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {**super().list_options(), **_make_options(self.scheme, self.scale)}

    def _zero_point(self) -> Tensor:
        if self._zeros is None:
            with torch.inference_mode(False), torch.no_grad():
                self._zeros = self._unpack_zero_point()
        return self._zeros

    def _unpack_zero_point(self) -> Tensor:
        if self.zero_points is None:
            return torch.full_like(self.scale, self.scheme.middle, dtype=torch.uint8)
        return unpack(self.zero_points, self.scheme.bits, self.scale.numel()).view(self.scale.shape)


class PackedLinear(PackedWeight):
    """y = x W' + b, with W stored in few bits.

    With activations "float32" it computes in float, and gradients reach x, so that layers before it can
    learn. With "int8" it uses an Int8Linear of the weight, which is rounded again to 8 bits per channel, and
    gradients stop.
    """

    arguments = ("in_features", "out_features", "bias", "activations")
    derived = (*PackedWeight.derived, "_int8")
    bias: nn.Parameter | None
    _int8: tuple[Int8Linear] | None  # outside the state: a tuple is no submodule

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activations: Activations = "float32",
        **options: Any,
    ) -> None:
        """options: those of a PackedWeight."""
        super().__init__(out_features, in_features, **options)
        self.in_features, self.out_features, self.activations = in_features, out_features, activations
        self.bias = make_frozen_parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        scheme: Scheme,
        *,
        observer: Observer = "mse",
        activations: Activations = "float32",
    ) -> Self:
        """The layer with the nearest levels. Raises BuildError if a weight is not finite."""
        weight = linear.weight.detach()
        grid = fit_grid(weight, scheme, observer=observer)
        return cls.from_levels(quantize(weight, grid), grid, bias=linear.bias, activations=activations)

    @classmethod
    def from_levels(
        cls,
        levels: Tensor,
        grid: Grid,
        *,
        bias: Tensor | None,
        activations: Activations,
    ) -> Self:
        """The layer with these levels (out_features, in_features)."""
        options = {**_make_options(grid.scheme, grid.scale), "activations": activations}
        layer = cls(levels.shape[1], levels.shape[0], bias is not None, **options)
        layer.bias = copy_bias(bias)
        return layer.set_levels_(levels, grid)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.activations == "int8":
            outputs: Tensor = self._make_int8_layer()(inputs)
            return outputs
        bias = None if self.bias is None else self.bias.to(inputs.dtype)
        return functional.linear(inputs, self.weight.to(inputs.dtype), bias)

    def _make_int8_layer(self) -> Int8Linear:
        """The int8 layer, made at its first use; the float weight, four times as large, is freed then."""
        if self._int8 is None:
            with torch.inference_mode(False), torch.no_grad():
                self._int8 = (Int8Linear.from_weight(self.weight, self.bias),)
            self._weight = None
        return self._int8[0]


class PackedEmbedding(PackedWeight):
    """An embedding table in few bits. A lookup unpacks only the rows that it reads, into float32.

    `padding_idx` is only information, because it has no effect without training.
    """

    arguments = ("num_embeddings", "embedding_dim", "padding_idx")

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, **options: Any
    ) -> None:
        """options: those of a PackedWeight."""
        super().__init__(num_embeddings, embedding_dim, **options)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx

    @classmethod
    def from_embedding(cls, table: nn.Embedding, scheme: Scheme, *, observer: Observer = "mse") -> Self:
        """The table with the nearest levels. Raises BuildError for max_norm and for NaN."""
        if table.max_norm is not None:
            raise BuildError(f"{cls.__name__}: max_norm {table.max_norm} is not supported, expected None")
        weight = table.weight.detach()
        grid = fit_grid(weight, scheme, observer=observer)
        packed = cls(
            table.num_embeddings,
            table.embedding_dim,
            table.padding_idx,
            **_make_options(grid.scheme, grid.scale),
        )
        return packed.set_levels_(quantize(weight, grid), grid)

    def forward(self, ids: Tensor) -> Tensor:
        rows, zero_point = ids.reshape(-1), self._zero_point()
        grid = Grid(self.scheme, self.scale, zero_point)
        if self.scheme.granularity != "tensor":
            grid = Grid(self.scheme, self.scale[rows], zero_point[rows])
        levels = unpack(self.packed[rows], self.scheme.bits, self.columns)
        return dequantize(levels, grid).view(*ids.shape, self.columns)


def _make_options(scheme: Scheme, scale: Tensor) -> dict[str, Any]:
    return {**asdict(scheme), "scale_dtype": str(scale.dtype).removeprefix("torch.")}
