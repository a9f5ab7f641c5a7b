"""Linear and embedding layers whose weights are one bit each, for inference.

    layer = BinaryLinear.from_weights(weight, scale, bias=bias)                  # 1-bit weights
    layer = BinaryLinear.from_weights(weight, scale, threshold=t, gain=g)        # and 1-bit inputs

A weight is +scale or -scale, with one scale for each row (Rastegari et al. 2016, XNOR-Net, section 3.1). The
state holds eight weights a byte (`packed` uint8, `scale` float32), so files are small. Memory is not smaller
and layers are not faster: the first call of BinaryLinear makes a float32 weight, kept outside the state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate.errors import BuildError
from slimgate.steps.layers.bit_packing import count_packed_bytes, pack, unpack
from slimgate.steps.layers.described import DerivingLayer, DescribedLayer, copy_bias, make_frozen_parameter


class BinaryLinear(DerivingLayer):
    """y = x W' + b, W = scale · sign; with `activations` x also has two values.

    Binary inputs: x ≈ t + gain · m · sign(x - t), with a threshold t for each feature and m = mean |x - t| of
    each token, taken when the layer is called (XNOR-Net's K), so that a row's result does not depend on its
    batch; `bias` holds W t. Sums of products of signs are whole numbers, which float32 adds up exactly.
    Input of any floating dtype and any number of leading dimensions; output in the input's dtype. Without
    binary inputs gradients reach x; with binary inputs they stop here.
    """

    arguments = ("in_features", "out_features", "bias", "activations")
    derived = ("_dense",)
    packed: Tensor
    scale: Tensor
    bias: nn.Parameter | None
    threshold: Tensor | None
    gain: Tensor | None
    _dense: Tensor | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, activations: bool = False
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.activations = in_features, out_features, activations
        self.register_buffer("packed", _make_empty_bits(out_features, in_features))
        self.register_buffer("scale", torch.ones(out_features))
        self.bias = make_frozen_parameter(torch.zeros(out_features)) if bias else None
        self.register_buffer("threshold", torch.zeros(in_features) if activations else None)
        self.register_buffer("gain", torch.ones(()) if activations else None)

    @classmethod
    def from_weights(
        cls,
        weight: Tensor,
        scale: Tensor,
        *,
        bias: Tensor | None = None,
        threshold: Tensor | None = None,
        gain: Tensor | None = None,
    ) -> BinaryLinear:
        """The layer of weight's signs (0 counts as +).

        weight: (out, in); scale: (out,) above 0; bias: (out,); for binary inputs threshold (in,) and gain ().
        Raises BuildError if a number is not finite.
        """
        _check_finite(weight=weight, scale=scale, threshold=threshold, gain=gain)
        layer = cls(weight.shape[1], weight.shape[0], bias is not None or threshold is not None)
        layer.packed, layer.scale = pack_signs(weight), _copy(scale)
        if threshold is not None and gain is not None:
            layer.activations = True
            layer.threshold, layer.gain = _copy(threshold), _copy(gain)
            shift = layer.weight @ layer.threshold
            bias = shift if bias is None else bias.detach() + shift
        layer.bias = copy_bias(bias)
        return layer

    @property
    def weight(self) -> Tensor:
        """The weights that it multiplies with: (out_features, in_features) float32, no parameter."""
        return self.unpack_signs() * self.scale.unsqueeze(1)

    def unpack_signs(self) -> Tensor:
        """(out_features, in_features) float32 of +1 and -1."""
        return unpack_signs(self.packed, self.in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        if self._dense is None:
            with torch.inference_mode(False), torch.no_grad():
                self._dense = self.unpack_signs() if self.activations else self.weight
        if self.threshold is not None and self.gain is not None:
            return self._multiply_binary(inputs.detach(), self.threshold, self.gain, self._dense)
        bias = None if self.bias is None else self.bias.to(inputs.dtype)
        return functional.linear(inputs, self._dense.to(inputs.dtype), bias)

    def weight_numbers(self) -> tuple[int, int]:
        """Weights that parameters() does not list: all, and those other than zero, which is every sign."""
        count = self.in_features * self.out_features
        return count, count

    def _multiply_binary(self, inputs: Tensor, threshold: Tensor, gain: Tensor, signs: Tensor) -> Tensor:
        distance = inputs.float() - threshold
        size = distance.abs().mean(dim=-1, keepdim=True) * gain
        with torch.autocast(inputs.device.type, enabled=False):
            sums = functional.linear(compute_signs(distance), signs)
        # separate, not addcmul: fused rounding could differ between the ends and the middle of a tensor
        outputs = sums * self.scale * size
        return (outputs if self.bias is None else outputs + self.bias).to(inputs.dtype)


class BinaryEmbedding(DescribedLayer):
    """An embedding table with one bit per number and a scale per row; a lookup unpacks only its rows.

    `padding_idx` is kept as information: without training it changes nothing.
    """

    arguments = ("num_embeddings", "embedding_dim", "padding_idx")
    packed: Tensor
    scale: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        self.register_buffer("packed", _make_empty_bits(num_embeddings, embedding_dim))
        self.register_buffer("scale", torch.ones(num_embeddings))

    @classmethod
    def from_weights(
        cls, weight: Tensor, scale: Tensor, *, padding_idx: int | None = None
    ) -> BinaryEmbedding:
        """The table of weight's signs. weight: (rows, dim); scale: (rows,). Raises as BinaryLinear's."""
        _check_finite(weight=weight, scale=scale)
        table = cls(weight.shape[0], weight.shape[1], padding_idx)
        table.packed, table.scale = pack_signs(weight), _copy(scale)
        return table

    def forward(self, ids: Tensor) -> Tensor:
        rows = ids.reshape(-1)
        vectors = unpack_signs(self.packed[rows], self.embedding_dim) * self.scale[rows].unsqueeze(-1)
        return vectors.view(*ids.shape, self.embedding_dim)

    def weight_numbers(self) -> tuple[int, int]:
        """Weights that parameters() does not list: all, and those other than zero, which is every sign."""
        count = self.num_embeddings * self.embedding_dim
        return count, count


def compute_signs(values: Tensor) -> Tensor:
    """+1 if a value is 0 or more, else -1, in the values' dtype."""
    return (values >= 0).to(values.dtype) * 2 - 1


def pack_signs(values: Tensor) -> Tensor:
    """(rows, n) -> (rows, ceil(n / 8)) uint8; a bit is 1 if the value is 0 or more."""
    return pack((values.detach() >= 0).to(torch.uint8), 1)


def unpack_signs(packed: Tensor, count: int) -> Tensor:
    """(rows, ceil(count / 8)) uint8 -> (rows, count) float32 of +1 and -1."""
    return unpack(packed, 1, count).float() * 2 - 1


def _check_finite(**tensors: Tensor | None) -> None:
    for name, values in tensors.items():
        if values is not None and not bool(torch.isfinite(values).all()):
            raise BuildError(f"binary weights: {name} holds NaN or infinity, expected finite values")


def _make_empty_bits(rows: int, columns: int) -> Tensor:
    return torch.zeros(rows, count_packed_bytes(columns, 1), dtype=torch.uint8)


def _copy(values: Tensor) -> Tensor:
    return values.detach().to(torch.float32, copy=True)


# In scales: beyond it a weight is too far from 0 to change its sign, and a gradient would be noise.
WEIGHT_CLIP = 2.0
INPUT_CLIP = 2.0
_SMALLEST_SCALE = 1e-8


class LatentLinear(nn.Module):
    """A linear layer with a float weight for each binary one.

    thresholds: (in_features,) initial values, if the inputs become binary too. weight_share and input_share:
    the progress from float (0) to binary (1) during training; evaluation is always fully binary, so that an
    epoch's score is that of the layer that will be packed.
    """

    def __init__(self, linear: nn.Linear, *, thresholds: Tensor | None = None) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        self.weight = nn.Parameter(weight.clone())
        self.weight_scale = nn.Parameter(compute_mean_size(weight))
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().float().clone())
        self.threshold: nn.Parameter | None = None
        self.gain: nn.Parameter | None = None
        if thresholds is not None:
            self.threshold = nn.Parameter(thresholds.detach().to(weight).clone())
            self.gain = nn.Parameter(weight.new_ones(()))
        self.weight_share = self.input_share = 1.0

    def forward(self, inputs: Tensor) -> Tensor:
        weight = binarize_values(self.weight, self.weight_scale.unsqueeze(1), clip=WEIGHT_CLIP)
        if self.training:
            weight = self.weight.lerp(weight, self.weight_share)
        if self.threshold is not None:
            inputs = self._binarize_inputs(inputs)
        return functional.linear(inputs, weight, self.bias)

    def to_packed(self) -> BinaryLinear:
        """The packed layer with the same outputs as this one in evaluation mode."""
        scale = self.weight_scale.abs().clamp_min(_SMALLEST_SCALE)
        return BinaryLinear.from_weights(
            self.weight, scale, bias=self.bias, threshold=self.threshold, gain=self.gain
        )

    def _binarize_inputs(self, inputs: Tensor) -> Tensor:
        assert self.threshold is not None
        assert self.gain is not None
        distance = inputs.float() - self.threshold
        size = distance.abs().mean(dim=-1, keepdim=True) * self.gain
        two_valued = self.threshold + binarize_values(distance, size, clip=INPUT_CLIP)
        if self.training:
            two_valued = inputs.float().lerp(two_valued, self.input_share)
        return two_valued.to(inputs.dtype)


class LatentEmbedding(nn.Module):
    """An embedding table with a float number for each binary one."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        weight = embedding.weight.detach().float()
        self.padding_idx = embedding.padding_idx
        self.weight = nn.Parameter(weight.clone())
        self.weight_scale = nn.Parameter(compute_mean_size(weight))
        self.weight_share = 1.0

    def forward(self, ids: Tensor) -> Tensor:
        rows = functional.embedding(ids, self.weight)
        two_valued = binarize_values(rows, self.weight_scale[ids].unsqueeze(-1), clip=WEIGHT_CLIP)
        return rows.lerp(two_valued, self.weight_share) if self.training else two_valued

    def to_packed(self) -> BinaryEmbedding:
        """The packed table with the same outputs as this one in evaluation mode."""
        scale = self.weight_scale.abs().clamp_min(_SMALLEST_SCALE)
        return BinaryEmbedding.from_weights(self.weight, scale, padding_idx=self.padding_idx)


def binarize_values(values: Tensor, scale: Tensor, *, clip: float) -> Tensor:
    """scale · sign(values), with gradients to the scale and, up to clip · scale, to the values."""
    scale = scale.abs().clamp_min(_SMALLEST_SCALE)
    bound = clip * scale.detach()
    passing = torch.minimum(torch.maximum(values, -bound), bound)
    return scale * compute_signs(values.detach()) + (passing - passing.detach())


def compute_mean_size(weight: Tensor) -> Tensor:
    """The scale of least squared error for the signs of each row: mean |w|. (rows, n) -> (rows,)."""
    return weight.abs().mean(dim=1).clamp_min(_SMALLEST_SCALE)
