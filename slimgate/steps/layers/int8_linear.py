"""Linear and embedding layers that hold int8 weights, for inference.

    layer = Int8Linear.from_linear(nn.Linear(384, 1536))
    table = Int8Embedding.from_embedding(nn.Embedding(30522, 384, padding_idx=0))

The state is plain tensors (`weight` int8, `weight_scale` and `bias` float32), so safetensors holds it and
`load_state_dict` into `Int8Linear(384, 1536)` gives the same outputs to the bit. Nothing is packed or cached.
"""

from __future__ import annotations

import functools
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate._system.processor import has_saturating_sums, list_cpu_instructions
from slimgate.errors import BuildError
from slimgate.steps.layers.described import DescribedLayer, copy_bias, make_frozen_parameter

Granularity = Literal["channel", "tensor"]

# Adding 1.5 * 2**23 rounds a small float to an integer and leaves it in the mantissa, whose lowest byte is
# then the int8: one pass instead of two for round() and a conversion.
ROUNDING = 12582912.0
_ROUNDING_BITS = 0x4B400000
# 127 * 127 * 1024 < 2**24: float32 sums of that many products of int8 values are exact in any order.
_EXACT_IN_FLOAT32 = 1024
# 254 * 127 * 65536 < 2**31: the sum and its zero-point correction stay inside int32.
MAX_FEATURES = 65536
# A row's range is this many steps; its levels and its zero point stay inside int8.
STEPS = 253
# Scales stay normal numbers, so that 1 / scale is finite.
SMALLEST_RANGE = 2.0**-118
_SMALLEST_SCALE = 2.0**-125


class Int8Linear(DescribedLayer):
    """y = x W' + b with int8 weights, a scale per output channel, and int8 activations, a scale per row.

    The scale and zero point of a row come from its own smallest and largest value when the layer is called
    (Jacob et al. 2018, section 2.1), and products are summed in int32: a row's result does not depend, to the
    bit, on the rest of the batch. A row with NaN, infinity or a range above float32 gives no finite number.
    Input of any floating dtype and any number of leading dimensions; output in the input's dtype; gradients
    stop here.
    """

    arguments = ("in_features", "out_features", "bias")
    quantized_weights: ClassVar[tuple[str, ...]] = ("weight",)  # numbers that parameters() does not list
    weight: Tensor
    weight_scale: Tensor
    bias: nn.Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        if not 0 < in_features <= MAX_FEATURES:
            raise BuildError(f"Int8Linear: in_features {in_features}, expected 1 to {MAX_FEATURES}")
        self.in_features = in_features
        self.out_features = out_features
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(out_features, dtype=torch.float32))
        self.bias = make_frozen_parameter(torch.zeros(out_features, dtype=torch.float32)) if bias else None

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, granularity: Granularity = "channel") -> Int8Linear:
        """The int8 layer of a float one, on its device. Raises BuildError if a weight is not finite."""
        return cls.from_weight(linear.weight, linear.bias, granularity=granularity).train(linear.training)

    @classmethod
    def from_weight(
        cls, weight: Tensor, bias: Tensor | None, *, granularity: Granularity = "channel"
    ) -> Int8Linear:
        """The int8 layer of a float weight (out_features, in_features) and bias, on their device."""
        layer = cls(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.weight, layer.weight_scale = quantize_weight(weight, granularity=granularity)
        layer.bias = copy_bias(bias)
        return layer

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.shape[-1] != self.in_features:
            raise ValueError(f"Int8Linear: input {tuple(inputs.shape)}, expected (..., {self.in_features})")
        rows = inputs.detach().reshape(-1, self.in_features).float()
        levels, scale, zero_point = _quantize_rows(rows)
        sums = multiply_integers(levels, self.weight)
        # The last row of levels is ones, so the last row of sums is the effect of a zero point of 1 on a row.
        sums = sums[:-1].addcmul_(zero_point, sums[-1], value=-1)
        # Separate, not addcmul: fused rounding could differ between the ends and the middle of a tensor.
        outputs = sums.float().mul_(self.weight_scale).mul_(scale)
        if self.bias is not None:
            outputs.add_(self.bias)
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)


class Int8Embedding(DescribedLayer):
    """An embedding table in int8 with a scale per row; rows are returned in the dtype of the scales.

    `padding_idx` is kept as information: without training it changes nothing.
    """

    arguments = ("num_embeddings", "embedding_dim", "padding_idx")
    quantized_weights: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Tensor
    weight_scale: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.register_buffer("weight", torch.zeros(num_embeddings, embedding_dim, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(num_embeddings, dtype=torch.float32))

    @classmethod
    def from_embedding(
        cls, embedding: nn.Embedding, *, granularity: Granularity = "channel"
    ) -> Int8Embedding:
        """The int8 table of a float one. Raises BuildError for max_norm and weights that are not finite."""
        if embedding.max_norm is not None:
            raise BuildError(f"Int8Embedding: max_norm {embedding.max_norm} is not supported, expected None")
        table = cls(embedding.num_embeddings, embedding.embedding_dim, embedding.padding_idx)
        table.weight, table.weight_scale = quantize_weight(embedding.weight, granularity=granularity)
        return table.train(embedding.training)

    def forward(self, ids: Tensor) -> Tensor:
        scale = self.weight_scale[ids].unsqueeze(-1)
        return functional.embedding(ids, self.weight).to(scale.dtype).mul_(scale)


@torch.no_grad()
def quantize_weight(weight: Tensor, *, granularity: Granularity = "channel") -> tuple[Tensor, Tensor]:
    """Symmetric int8: (levels in -127..127, float32 scales by row); a row of zeros keeps its zeros.

    granularity: "channel" gives each row a separate scale, "tensor" gives all rows the same.

    The scale is the largest magnitude / 127. Choosing it by least squared error gained nothing: mean cosine
    to float32 of MiniLM's embeddings 0.9990 either way. Raises BuildError for weights that are NaN or
    infinite.
    """
    weight = weight.detach().float()
    if not torch.isfinite(weight).all():
        raise BuildError(
            f"quantize_weight: {tuple(weight.shape)} holds NaN or infinity, expected finite values"
        )
    largest = weight.abs().amax(dim=1)
    if granularity == "tensor":
        largest = largest.amax().expand_as(largest)
    scale = (largest / 127).clamp_min_(_SMALLEST_SCALE)
    return (weight / scale.unsqueeze(1)).round_().to(torch.int8), scale


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_int_mm_exact() -> bool:
    """Whether this CPU's int8 product sums in 32 bits; if not, layers take a slower exact way.

    Without VNNI (AVX2 and AVX-512 before it) oneDNN adds pairs of products in 16 bits, which saturate.
    """
    return _probe_int_mm()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_int_mm_fast() -> bool:
    """Whether this CPU's int8 product is exact and fast.

    Without VNNI oneDNN uses plain loops: on an AMD EPYC with only AVX2, 128 x 256 by 256 x 1024 took
    33 times as long as in float32.
    """
    return _probe_int_mm() and _has_vnni()


@functools.cache
def _has_vnni() -> bool:
    return not has_saturating_sums(list_cpu_instructions())


@functools.cache
def _probe_int_mm() -> bool:
    weight = torch.full((32, 64), 127, dtype=torch.int8, device="cpu")
    weight[::2, ::3] = -127
    for rows in (2, 8, 64):
        for level in (127, -127):
            levels = torch.full((rows, 64), level, dtype=torch.int8, device="cpu")
            try:
                sums = torch._int_mm(levels, weight.t())
            except (AttributeError, RuntimeError):
                return False
            if not torch.equal(sums, _multiply_as_float32(levels, weight)):
                return False
    return True


def _quantize_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(levels int8 with a row of ones below, scale, int32 zero point): row = scale * (level - zero point).

    0 is always a level; 253 steps, not 255, leave room for rounding the zero point, so nothing is clipped.
    """
    high = rows.amax(dim=-1, keepdim=True).clamp_min_(0)
    low = rows.amin(dim=-1, keepdim=True).clamp_max_(0)
    scale = (high - low).clamp_min_(SMALLEST_RANGE).mul_(1 / STEPS)
    # ROUNDING plus the zero point, which is -(high + low) / 2 in steps.
    # Not rsub with alpha = 0.5: compiled by torch 2.13 it is off by up to half of the levels here.
    offset = high.add_(low).div_(scale).mul_(-0.5).add_(ROUNDING)
    rounded = (rows / scale).add_(offset)
    levels = torch.empty(rows.shape[0] + 1, rows.shape[1], dtype=torch.int8, device=rows.device)
    levels[:-1].copy_(rounded.view(torch.int32))
    levels[-1].fill_(1)
    return levels, scale, offset.view(torch.int32).sub_(_ROUNDING_BITS)


def multiply_integers(levels: Tensor, weight: Tensor) -> Tensor:
    """levels (rows, in) @ weight (out, in)', both int8, as exact int32 sums.

    On a GPU it uses float32, which is exact even in TF32, whose 11 bits hold int8. It is not faster than
    float. torch._int_mm needs more than 16 rows and multiples of 8 there; torchao_quantize has kernels for
    it.
    """
    if levels.device.type == "cpu" and is_int_mm_fast():
        return torch._int_mm(levels, weight.t())
    return _multiply_as_float32(levels, weight)


def _multiply_as_float32(levels: Tensor, weight: Tensor) -> Tensor:
    """int32 sums of int8 products by float32 matmul, in slices that float32 adds up exactly."""
    with torch.autocast(levels.device.type, enabled=False):
        if levels.shape[1] <= _EXACT_IN_FLOAT32:
            return (levels.float() @ weight.float().t()).to(torch.int32)
        sums = torch.zeros(levels.shape[0], weight.shape[0], dtype=torch.int32, device=levels.device)
        for start in range(0, levels.shape[1], _EXACT_IN_FLOAT32):
            part = slice(start, start + _EXACT_IN_FLOAT32)
            sums += (levels[:, part].float() @ weight[:, part].float().t()).to(torch.int32)
        return sums
