"""Linear and embedding layers whose weights are kept in 16 bits.

    layer = HalfLinear.from_linear(nn.Linear(384, 1536), dtype="bfloat16", compute="bfloat16")

Everything else (LayerNorm, softmax, residual sums, logits) stays float32. So the layers fit into any network,
and nothing overflows between them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate.errors import BuildError
from slimgate.steps.layers.described import DerivingLayer, DescribedLayer, copy_bias, make_frozen_parameter

Half = Literal["bfloat16", "float16"]
Compute = Literal["bfloat16", "float16", "float32"]


class HalfLinear(DerivingLayer):
    """y = x W' + b. W is stored in 16 bits; the product is computed in 16 bits or in float32.

    With compute "float32" the first call makes a float32 copy of the weight. It stays until the layer is
    loaded or moved, so a weight takes 6 bytes, for the speed of float32. The output has the input's dtype.
    Gradients flow to the input, not to the weight.
    """

    arguments = ("in_features", "out_features", "bias", "dtype", "compute")
    derived = ("_wide",)
    # Not a parameter: transformers takes the dtype of masks from the first parameter that it finds.
    quantized_weights: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Tensor
    bias: nn.Parameter | None
    _wide: Tensor | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool, dtype: Half, compute: Compute
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.dtype = dtype
        self.compute = compute
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=getattr(torch, dtype)))
        self.bias = make_frozen_parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, dtype: Half, compute: Compute) -> HalfLinear:
        """Makes the layer on the device of `linear`. Raises BuildError if `dtype` cannot hold its weights."""
        layer = cls(linear.in_features, linear.out_features, linear.bias is not None, dtype, compute)
        layer.weight = convert_to_half(linear.weight, dtype)
        layer.bias = copy_bias(linear.bias)
        return layer.train(linear.training)

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.weight
        if self.compute == "float32":
            if self._wide is None:
                # A tensor that is made in inference mode can never take part in training.
                with torch.inference_mode(False):
                    self._wide = self.weight.float()
            weight = self._wide
        bias = None if self.bias is None else self.bias.to(weight.dtype)
        return functional.linear(inputs.to(weight.dtype), weight, bias).to(inputs.dtype)


class HalfEmbedding(DescribedLayer):
    """An embedding table in 16 bits. Its output is float32."""

    arguments = ("num_embeddings", "embedding_dim", "padding_idx", "dtype")
    quantized_weights: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, dtype: Half) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.dtype = dtype
        self.register_buffer(
            "weight", torch.zeros(num_embeddings, embedding_dim, dtype=getattr(torch, dtype))
        )

    @classmethod
    def from_embedding(cls, embedding: nn.Embedding, *, dtype: Half) -> HalfEmbedding:
        """Makes the table. Raises BuildError for max_norm, and if `dtype` cannot hold the weights."""
        if embedding.max_norm is not None:
            raise BuildError(f"HalfEmbedding: max_norm {embedding.max_norm} is not supported, expected None")
        table = cls(embedding.num_embeddings, embedding.embedding_dim, embedding.padding_idx, dtype)
        table.weight = convert_to_half(embedding.weight, dtype)
        return table.train(embedding.training)

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weight).float()


def convert_to_half(weight: Tensor, dtype: Half) -> Tensor:
    """The weight in 16 bits. Raises BuildError if it is not finite, or above 65,504 for float16."""
    if not bool(torch.isfinite(weight).all()):
        raise BuildError(f"weights {tuple(weight.shape)} are NaN or infinite, so the model is broken")
    half = weight.detach().to(getattr(torch, dtype), copy=True)
    if not bool(torch.isfinite(half).all()):
        largest = float(weight.detach().abs().max())
        advice = "; use bfloat16" if dtype == "float16" else ""
        raise BuildError(
            f"weights {tuple(weight.shape)} reach {largest:g}, which {dtype} cannot represent{advice}"
        )
    return half
