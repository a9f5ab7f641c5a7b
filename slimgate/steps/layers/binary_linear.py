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
