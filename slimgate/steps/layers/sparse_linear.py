"""A linear layer whose zeros are not stored: smaller on disk; in memory and speed like a dense layer.

    layer = SparseLinear.from_linear(nn.Linear(384, 1536), values="float16")

`state_dict` holds `pattern` (uint8) and `values` in place of `weight`; sparse_code.py describes them. Loading
unpacks them once into a dense `weight`, which is not saved. So artifacts are smaller, and a forward pass
costs the same as in a dense layer. The weights take no gradients.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate.errors import BuildError
from slimgate.steps.layers.bit_packing import pack, unpack
from slimgate.steps.layers.described import DescribedLayer, copy_bias, make_frozen_parameter
from slimgate.steps.layers.int8_linear import Int8Linear, quantize_weight
from slimgate.steps.layers.int8_static_linear import Int8StaticLinear
from slimgate.steps.layers.packed import PackedLinear
from slimgate.steps.layers.sparse_code import choose_layout, compute_positions, decode, encode

Values = Literal["float32", "float16", "int8"]
VALUE_BITS = {"float32": 32, "float16": 16, "int8": 8}


class SparseState(DescribedLayer):
    """Saves `read_stored_weight()` as pattern and values, and restores it when loaded."""

    layout: str
    weight: Tensor

    def read_stored_weight(self) -> Tensor:
        """The matrix (out_features, in_features) in the dtype that its values are stored in."""
        return self.weight

    def take(self, stored: Tensor) -> None:
        """Sets the dense weight from the stored one."""
        self.weight = stored.to(self.weight.dtype)

    def encode_weight(self) -> tuple[Tensor, Tensor]:
        """(pattern, values), the tensors that are saved."""
        return encode(self.read_stored_weight().detach(), self.layout)

    def take_state(self, pattern: Tensor, values: Tensor) -> None:
        """Restores the weight from `encode_weight`. Raises BuildError if the two tensors do not fit."""
        self.take(decode(pattern, values, (self.weight.shape[0], self.weight.shape[1]), self.layout))

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        pattern, values = self.encode_weight()
        destination.update({f"{prefix}pattern": pattern, f"{prefix}values": values})

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        local_metadata: dict[str, object],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        pattern, values = (state_dict.pop(prefix + name, None) for name in ("pattern", "values"))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        stored = {"pattern": pattern, "values": values}
        missing_keys += [prefix + name for name, value in stored.items() if value is None]
        if pattern is not None and values is not None:
            device = next(self.buffers()).device
            try:
                self.take_state(pattern.to(device), values.to(device))
            except BuildError as error:
                error_msgs.append(f"{prefix}weight: {error}")


class SparseLinear(SparseState):
    """y = x W' + b with a float32 W, whose values other than 0 are stored as float32, float16 or int8.

    int8: symmetric, with a scale per output channel, for storage only; the product is computed in float32.
    """

    arguments = ("in_features", "out_features", "bias", "values", "layout")
    quantized_weights: ClassVar[tuple[str, ...]] = ("weight",)  # numbers that parameters() does not list
    weight_scale: Tensor
    bias: nn.Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, values: Values, layout: str
    ) -> None:
        super().__init__()
        if values not in get_args(Values):
            raise BuildError(
                f"SparseLinear: values {values!r}, expected one of {', '.join(get_args(Values))}"
            )
        self.in_features, self.out_features = in_features, out_features
        self.values, self.layout = values, layout
        self.register_buffer("weight", torch.zeros(out_features, in_features), persistent=False)
        if values == "int8":
            self.register_buffer("weight_scale", torch.ones(out_features))
        self.bias = make_frozen_parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, values: Values = "float32") -> SparseLinear:
        """The layer in the layout with the fewest bytes. Raises BuildError if a weight is not finite."""
        rounded, scale = _round_weight(linear.weight.detach(), values)
        layout, _ = choose_layout(rounded, VALUE_BITS[values])
        bias = linear.bias is not None
        layer = cls(linear.in_features, linear.out_features, bias, values=values, layout=layout)
        layer.to(linear.weight.device)
        if scale is not None:
            layer.weight_scale = scale
        layer.bias = copy_bias(linear.bias)
        layer.take(rounded)
        return layer.train(linear.training)

    def read_stored_weight(self) -> Tensor:
        """The weight in its stored dtype; exact, because the weight was rounded to it before."""
        if self.values == "int8":
            return (self.weight / self.weight_scale.unsqueeze(1)).round().to(torch.int8)
        return self.weight.to(torch.float16 if self.values == "float16" else torch.float32)

    def take(self, stored: Tensor) -> None:
        """Sets the float32 weight."""
        dense = stored.float() + 0.0  # -0.0 becomes +0.0, as after saving and loading
        self.weight = dense * self.weight_scale.unsqueeze(1) if self.values == "int8" else dense

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight, self.bias)


def count_state_bytes(layer: nn.Module) -> int:
    """Bytes of the tensors of a layer in an artifact."""
    return sum(tensor.numel() * tensor.element_size() for tensor in layer.state_dict().values())


def _round_weight(weight: Tensor, values: Values) -> tuple[Tensor, Tensor | None]:
    """The weight in its stored dtype, and the scales of int8. Raises BuildError if one is not finite."""
    if values == "int8":
        return quantize_weight(weight)
    rounded = weight.to(torch.float16 if values == "float16" else torch.float32)
    if not torch.isfinite(rounded).all():
        raise BuildError(f"SparseLinear: a weight {tuple(weight.shape)} is not finite as {values}")
    return rounded, None


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
