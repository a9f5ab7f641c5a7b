"""A linear layer in int8 whose activations have one scale and zero point, fixed before it is used.

    layer = Int8StaticLinear.from_linear(nn.Linear(384, 1536), low=-3.1, high=4.7)

A call does not search its inputs for their range. If the CPU sums oneDNN's fused int8 product exactly, the
layer uses it. So it is faster than Int8Linear, above all on large batches.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.steps.layers.described import DerivingLayer, copy_bias, make_frozen_parameter
from slimgate.steps.layers.int8_linear import (
    MAX_FEATURES,
    ROUNDING,
    SMALLEST_RANGE,
    multiply_integers,
    quantize_weight,
)

LEVELS = 255
_MIDDLE = 128  # subtracted from a level 0..255 to make it int8


class Int8StaticLinear(DerivingLayer):
    """y = x W' + b with int8 weights, a scale per output channel, and activations as levels 0 to 255.

    level = round(x / (smoothing · input_scale)) + input_zero_point; values outside the calibrated range take
    its ends (Jacob et al. 2018, section 2.1). smoothing: a divisor per input channel that the weights were
    multiplied by (Xiao et al. 2022); it costs nothing, because it is part of the scale. Products are summed
    in integers, so the result of a row is bit for bit the same in every batch. NaN counts as the lower end of
    the range. The output has the input's dtype; gradients stop here. The first call derives tensors from the
    state (`_Derived`), and so does the first call after loading or moving.
    """

    arguments = ("in_features", "out_features", "bias")
    derived = ("_derived",)  # oneDNN's own format of a weight cannot be copied
    quantized_weights: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Tensor
    weight_scale: Tensor
    input_scale: Tensor
    input_zero_point: Tensor
    smoothing: Tensor | None
    bias: nn.Parameter | None
    _derived: _Derived | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, smoothed: bool = False
    ) -> None:
        super().__init__()
        if not 0 < in_features <= MAX_FEATURES:
            raise BuildError(f"Int8StaticLinear: in_features {in_features}, expected 1 to {MAX_FEATURES}")
        self.in_features = in_features
        self.out_features = out_features
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(out_features))
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("input_zero_point", torch.zeros((), dtype=torch.int32))
        self.register_buffer("smoothing", torch.ones(in_features) if smoothed else None)
        self.bias = make_frozen_parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, *, low: float, high: float, smoothing: Tensor | None = None
    ) -> Int8StaticLinear:
        """The int8 layer of a float one, for inputs / smoothing between low and high; 0 is always inside.

        smoothing: (in_features,) positive float32. Raises BuildError if the range or a weight is not finite.
        """
        if not (math.isfinite(low) and math.isfinite(high)):
            raise BuildError(f"Int8StaticLinear: inputs range from {low} to {high}, expected finite values")
        has_bias, smoothed = linear.bias is not None, smoothing is not None
        layer = cls(linear.in_features, linear.out_features, bias=has_bias, smoothed=smoothed)
        weight = linear.weight.detach().float()
        if smoothing is not None:
            layer.smoothing = smoothing.to(weight)
            weight = weight * layer.smoothing
        layer.weight, layer.weight_scale = quantize_weight(weight)
        scale, zero_point = compute_scale_zero_point(low, high)
        layer.input_scale = weight.new_tensor(scale)
        layer.input_zero_point = torch.tensor(zero_point, dtype=torch.int32, device=weight.device)
        layer.bias = copy_bias(linear.bias)
        return layer.train(linear.training)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.shape[-1] != self.in_features:
            raise ValueError(
                f"Int8StaticLinear: input {tuple(inputs.shape)}, expected (..., {self.in_features})"
            )
        derived = self._derived or self._derive()
        rows = inputs.detach().reshape(-1, self.in_features).float()
        rounded = (rows * derived.steps).add_(derived.offset).clamp_(ROUNDING, ROUNDING + LEVELS)
        outputs = derived.multiply(rounded.view(torch.int32), self.bias)
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {**super().list_options(), "smoothed": self.smoothing is not None}

    def _derive(self) -> _Derived:
        fused = self.weight.device.type == "cpu" and is_fused_product_exact()
        self._derived = _Fused(self) if fused else _Exact(self)
        return self._derived


class _Derived(ABC):
    """The tensors that a call needs, derived from the state of the layer.

    steps: the factor on inputs. offset: added to them, so that the level is the lowest byte of the float.
    scale: (out_features,) the factor on integer sums.
    """

    def __init__(self, layer: Int8StaticLinear) -> None:
        divisor = layer.input_scale if layer.smoothing is None else layer.input_scale * layer.smoothing
        self.steps = 1 / divisor
        self.zero_point = int(layer.input_zero_point)
        self.offset = ROUNDING + self.zero_point
        self.scale = layer.weight_scale * layer.input_scale

    @abstractmethod
    def multiply(self, rounded: Tensor, bias: Tensor | None) -> Tensor:
        """(rows, out_features) float32. rounded: (rows, in_features) int32, levels in the lowest bytes."""


class _Fused(_Derived):
    """oneDNN's product of uint8 and int8, which scales and adds the bias as it writes."""

    def __init__(self, layer: Int8StaticLinear) -> None:
        super().__init__(layer)
        self.weight = torch.ops.onednn.qlinear_prepack(layer.weight, None)
        self.zeros = torch.zeros(layer.out_features, dtype=torch.int32)

    def multiply(self, rounded: Tensor, bias: Tensor | None) -> Tensor:
        if not len(rounded):
            return self.scale.new_zeros((0, len(self.scale)))
        return _run_fused_linear(
            rounded.to(torch.uint8), self.zero_point, self.weight, self.scale, self.zeros, bias
        )


class _Exact(_Derived):
    """The product on other devices and CPUs: integer sums as Int8Linear takes them."""

    def __init__(self, layer: Int8StaticLinear) -> None:
        super().__init__(layer)
        self.weight = layer.weight
        self.correction = layer.weight.sum(dim=1, dtype=torch.int32) * (self.zero_point - _MIDDLE)

    def multiply(self, rounded: Tensor, bias: Tensor | None) -> Tensor:
        sums = multiply_integers((rounded - _MIDDLE).to(torch.int8), self.weight)
        outputs = sums.sub_(self.correction).float().mul_(self.scale)
        return outputs if bias is None else outputs.add_(bias)


def compute_scale_zero_point(low: float, high: float) -> tuple[float, int]:
    """(scale, zero point in 0..255) of 255 steps between low and high, stretched to include 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, SMALLEST_RANGE) / LEVELS
    return scale, round(-low / scale)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_fused_product_exact() -> bool:
    """Whether this PyTorch has oneDNN's fused int8 product and this CPU sums it in 32 bits (VNNI, AMX)."""
    return _probe_fused_linear()


@functools.cache
def _probe_fused_linear() -> bool:
    weight = torch.full((48, 64), 127, dtype=torch.int8, device="cpu")
    weight[::2, ::3] = -127
    scale, zeros = torch.ones(48, device="cpu"), torch.zeros(48, dtype=torch.int32, device="cpu")
    try:
        packed = torch.ops.onednn.qlinear_prepack(weight, None)
        for rows in (1, 8, 64):
            levels = torch.full((rows, 64), LEVELS, dtype=torch.uint8, device="cpu")
            expected = 200 * weight.float().sum(dim=1).expand(rows, -1)
            if not torch.equal(_run_fused_linear(levels, LEVELS - 200, packed, scale, zeros, None), expected):
                return False
    except (AttributeError, RuntimeError):
        return False
    return True


def _run_fused_linear(
    levels: Tensor, zero_point: int, packed: Tensor, scale: Tensor, zeros: Tensor, bias: Tensor | None
) -> Tensor:
    """(levels - zero_point) @ weight' · scale + bias in float32."""
    outputs: Tensor = torch.ops.onednn.qlinear_pointwise(
        levels, 1.0, zero_point, packed, scale, zeros, bias, 1.0, 0, torch.float32, "none", [], ""
    )
    return outputs
