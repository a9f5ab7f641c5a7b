"""An embedding table as a narrow table and a projection to the model's width.

    table = FactorizedEmbedding(30522, 384, rank=128)      # 30522 · 128 + 128 · 384 numbers

The narrow table is a plain nn.Embedding and the projection a plain nn.Linear, so that later steps
(trim_vocabulary, int8_dynamic, training) reach them. Source: Lan et al. 2020 (ALBERT), section 3.1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class FactorizedEmbedding(nn.Module):
    """ids -> table[ids] @ projection.T (+ bias): (...) int64 -> (..., embedding_dim)."""

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
