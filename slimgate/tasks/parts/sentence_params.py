"""What the tasks of sentence embeddings have in common in [task]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from slimgate.params import Table


class SentenceParams(Table, ABC):
    """How texts become vectors, and what training asks of them.

    pooling, normalize: "model" and None take what the folder says (sentence-transformers' modules.json), else
    the mean and unit length. prompts: put before the texts of each column. scale: of similarities in a
    softmax. symmetric: documents look for their queries as well. matryoshka: the leading dimensions that
    shall do on their own. distance: of a student's embeddings to the teacher's, what `mse_weight` weighs.
    """

    max_tokens: int = Field(default=128, ge=2)
    pooling: Literal["model", "mean", "cls", "max", "last"] = "model"
    normalize: bool | None = None
    similarity: Literal["cosine", "dot"] = "cosine"
    prompts: tuple[str, ...] = ()
    scale: float = Field(default=20.0, gt=0)
    symmetric: bool = False
    matryoshka: tuple[Annotated[int, Field(ge=1)], ...] = ()
    distance: Literal["mse", "cosine"] = "mse"

    @property
    @abstractmethod
    def texts(self) -> tuple[str, ...]:
        """The columns of texts, one or two."""

    @field_validator("matryoshka")
    @classmethod
    def _falling(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(more <= less for more, less in pairwise(value)):
            raise ValueError(f"{list(value)} came, expected falling numbers, such as [384, 256, 128]")
        return value
