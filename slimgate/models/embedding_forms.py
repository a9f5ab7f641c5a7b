"""Forms in which an index stores embeddings: fewer dimensions, 8 bits for a number, one bit for a number.

A form returns the floats that its stored numbers represent, so that similarities are those of the index.
With query = "same", queries take the form as well. With "float", they stay unchanged (asymmetric search), and
the answer is (rows, 2, dims), the query's vector and the document's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import nn

Query = Literal["same", "float"]


class LeadingDimensions(nn.Module):
    """The first `dims` numbers, which Matryoshka training makes the most informative."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors[..., : self.dims]

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {"dims": self.dims}


class StoredForm(nn.Module, ABC):
    """The base of the forms. bits: the bits of a stored number.

    forward: (rows, dims) vectors or (rows, 2, dims), the query's and the document's. See the module for the
    result.
    """

    bits: int

    def __init__(self, dims: int, query: Query = "same") -> None:
        super().__init__()
        self.dims, self.query = dims, query

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        if self.query == "same":
            return self.round_to_stored(vectors)
        if vectors.dim() == 2:
            return torch.stack([vectors, self.round_to_stored(vectors)], dim=1)
        return torch.cat([vectors[:, :1], self.round_to_stored(vectors[:, 1:])], dim=1)

    @abstractmethod
    def round_to_stored(self, vectors: torch.Tensor) -> torch.Tensor:
        """The values that the stored numbers of (…, dims) vectors represent."""

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {"dims": self.dims, "query": self.query}


class Int8Form(StoredForm):
    """256 levels for each dimension, from its lowest to its highest value on calibration rows."""

    bits = 8
    low: torch.Tensor
    step: torch.Tensor

    def __init__(self, dims: int, query: Query = "same") -> None:
        super().__init__(dims, query)
        self.register_buffer("low", torch.zeros(dims))
        self.register_buffer("step", torch.ones(dims))

    @classmethod
    def spanning(cls, vectors: torch.Tensor, *, query: Query) -> Int8Form:
        """The form whose levels span these (rows, dims) vectors."""
        form = cls(vectors.shape[-1], query)
        low, high = vectors.float().aminmax(dim=0)
        form.low, form.step = low, ((high - low) / 255).clamp(min=torch.finfo(torch.float32).tiny)
        return form

    def round_to_stored(self, vectors: torch.Tensor) -> torch.Tensor:
        levels = ((vectors - self.low) / self.step).round().clamp(0, 255)
        values: torch.Tensor = levels * self.step + self.low
        return values


class BinaryForm(StoredForm):
    """The sign of each number: a unit vector of ±1 / sqrt(dims), whose cosines are 1 - 2 · Hamming / dims."""

    bits = 1

    def round_to_stored(self, vectors: torch.Tensor) -> torch.Tensor:
        signs = torch.where(vectors > 0, 1.0, -1.0).to(vectors.dtype)
        return signs / float(vectors.shape[-1] ** 0.5)
