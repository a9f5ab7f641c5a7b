"""A linear layer as the product of two thin ones, and an embedding table as a narrow one and a projection.

    layer = LowRankLinear.from_factors(up, down, bias)      # (out, rank), (rank, in)
    table = FactorizedEmbedding(30522, 384, rank=128)       # 30522 · 128 + 128 · 384 numbers

The parts are plain nn.Linear and nn.Embedding, so later steps (int8_dynamic, magnitude_prune, distill, LoRA,
trim_vocabulary) change them, too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """y = (x @ down.T) @ up.T + bias, with rank · (in + out) weights instead of in · out.

    forward: (..., in_features) -> (..., out_features).
    """

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool = True) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=bias)

    @classmethod
    def from_factors(cls, up: Tensor, down: Tensor, bias: Tensor | None = None) -> LowRankLinear:
        """The float32 layer of weight up @ down. up: (out, rank); down: (rank, in); bias: (out,)."""
        (out_features, rank), in_features = up.shape, down.shape[1]
        layer = cls(in_features, out_features, rank, bias is not None).to(up.device)
        with torch.no_grad():
            layer.up.weight.copy_(up)
            layer.down.weight.copy_(down)
            if bias is not None:
                layer.up.bias.copy_(bias)
        return layer

    @property
    def in_features(self) -> int:
        return self.down.in_features

    @property
    def out_features(self) -> int:
        """The number of outputs; a later step may have put a layer with fewer here."""
        return self.up.out_features

    @property
    def rank(self) -> int:
        return self.up.in_features

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.up(self.down(inputs))
        return outputs

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        shape = {"in_features": self.in_features, "out_features": self.out_features, "rank": self.rank}
        return {**shape, "bias": getattr(self.up, "bias", None) is not None}

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, rank={self.rank}"


class FactorizedEmbedding(nn.Module):
    """ids -> table[ids] @ projection.T (+ bias): (...) int64 -> (..., embedding_dim).

    Source: Lan et al. 2020 (ALBERT), section 3.1.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        rank: int,
        padding_idx: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.embedding_dim, self.rank = embedding_dim, rank
        self.table = nn.Embedding(num_embeddings, rank, padding_idx)
        self.projection = nn.Linear(rank, embedding_dim, bias=bias)

    @classmethod
    def from_factors(
        cls, table: Tensor, projection: Tensor, bias: Tensor | None = None, *, padding_idx: int | None = None
    ) -> FactorizedEmbedding:
        """Makes the layer from its factors.

        table: (tokens, rank); projection: (rank, embedding_dim); bias: (embedding_dim,), added to all.
        """
        (tokens, rank), width = table.shape, projection.shape[1]
        embedding = cls(tokens, width, rank, padding_idx, bias is not None).to(table.device)
        with torch.no_grad():
            embedding.table.weight.copy_(table)
            embedding.projection.weight.copy_(projection.t())
            if bias is not None:
                embedding.projection.bias.copy_(bias)
        return embedding

    @property
    def num_embeddings(self) -> int:
        """The number of tokens; a later step may have dropped some."""
        return int(self.table.num_embeddings)

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.projection(self.table(ids))
        return vectors

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        shape = {"num_embeddings": self.num_embeddings, "embedding_dim": self.embedding_dim}
        has_bias = getattr(self.projection, "bias", None) is not None
        return {**shape, "rank": self.rank, "padding_idx": self.table.padding_idx, "bias": has_bias}

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}"
