"""Layers of integers that do not store zeros, each with the same outputs as its dense counterpart.

    layer = SparseInt8Linear.from_dense(Int8Linear.from_linear(pruned))
    layer = SparseInt8StaticLinear.from_dense(static)
    layer = SparsePackedLinear.from_dense(PackedLinear.from_linear(pruned, Scheme(bits=4)))

They have the dense layers' tensors, and compute in the same way.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.steps.layers.bit_packing import pack, unpack
from slimgate.steps.layers.int8_linear import Int8Linear
from slimgate.steps.layers.int8_static_linear import Int8StaticLinear
from slimgate.steps.layers.packed import PackedLinear
from slimgate.steps.layers.sparse_code import choose_layout, compute_positions, decode, encode
from slimgate.steps.layers.sparse_linear import SparseState


class _Integers(SparseState):
    """The common base: the constructor takes the dense layer's options and the layout."""

    held = "weight"  # the buffer of the dense layer that pattern and values replace
    value_bits = 8

    def __init__(self, *, layout: str, **options: Any) -> None:
        super().__init__(**options)
        self.layout = layout
        self.register_buffer(self.held, self._buffers.pop(self.held), persistent=False)

    @classmethod
    def from_dense(cls, linear: nn.Module) -> Self:
        """The same layer in the layout with the fewest bytes."""
        layer = cls(layout="dense", **linear.list_options())  # type: ignore[operator]
        for name, tensor in (*linear.named_buffers(recurse=False), *linear.named_parameters(recurse=False)):
            setattr(layer, name, tensor)
        layer.layout, _ = choose_layout(layer.read_stored_weight(), layer.value_bits)
        return layer.train(linear.training)

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {**super().list_options(), "layout": self.layout}


class SparseInt8Linear(_Integers, Int8Linear):
    """An Int8Linear whose zeros are not stored."""


class SparseInt8StaticLinear(_Integers, Int8StaticLinear):
    """An Int8StaticLinear whose zeros are not stored."""


class SparsePackedLinear(_Integers, PackedLinear):
    """A PackedLinear whose zeros are not stored; the other levels are one stream of k bits each.

    Its grid must be symmetric: in an affine grid the level of 0 differs between groups.
    """

    held = "packed"

    def __init__(self, *, layout: str, **options: Any) -> None:
        super().__init__(layout=layout, **options)
        if not self.scheme.symmetric:
            raise BuildError(f"SparsePackedLinear: {self.scheme} was given, expected a symmetric grid")
        self.value_bits = self.scheme.bits

    def read_stored_weight(self) -> Tensor:
        """Signed levels (out_features, in_features) int8: 0 is the weight 0."""
        return (self.unpack_levels().short() - self.scheme.middle).to(torch.int8)

    def take(self, stored: Tensor) -> None:
        """Sets the packed levels."""
        self.packed = pack((stored.short() + self.scheme.middle).to(torch.uint8), self.scheme.bits)

    def encode_weight(self) -> tuple[Tensor, Tensor]:
        """(pattern, k-bit stream of levels), both uint8."""
        pattern, values = encode(self.read_stored_weight(), self.layout)
        levels = (values.short() + self.scheme.middle).to(torch.uint8)
        return pattern, pack(levels.view(1, -1), self.scheme.bits).flatten()

    def take_state(self, pattern: Tensor, values: Tensor) -> None:
        """Takes the tensors of `encode_weight`. Raises BuildError if the parts do not fit."""
        shape = (self.out_features, self.in_features)
        count = len(compute_positions(pattern, shape[0] * shape[1], self.layout))
        levels = unpack(values.view(1, -1), self.scheme.bits, count).flatten()
        self.take(decode(pattern, (levels.short() - self.scheme.middle).to(torch.int8), shape, self.layout))
