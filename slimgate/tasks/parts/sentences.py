"""Shared options of the sentence-embedding tasks, and rows whose texts are encoded separately.

A row has one text, or two: a query and its document, or two sentences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from slimgate.plugins.base import Arrays
from slimgate.plugins.params import Table
from slimgate.plugins.rows import Rows
from slimgate.tasks.parts.encoding import EncodedTexts, encode_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class SentenceParams(Table, ABC):
    """Options of how texts become vectors, and of their training."""

    max_tokens: int = Field(default=128, ge=2)
    """Largest number of tokens of a text; longer texts are cut."""
    pooling: Literal["model", "mean", "cls", "max", "last"] = "model"
    """How token vectors become an embedding: "model" as the model's folder says, else by the mean."""
    normalize: bool | None = None
    """Whether embeddings have unit length; default: as the model's folder says, else true."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """How two embeddings are compared."""
    prompts: tuple[str, ...] = ()
    """Text before the texts of each column, if the model was trained with some."""
    scale: float = Field(default=20.0, gt=0)
    """Factor of similarities in the softmax of the training loss."""
    symmetric: bool = False
    """In training, also find the query of each document."""
    matryoshka: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of leading dimensions that are trained to work alone, in falling order."""
    distance: Literal["mse", "cosine"] = "mse"
    """Distance of a student's embeddings to the teacher's. Its weight is mse_weight."""

    @property
    @abstractmethod
    def texts(self) -> tuple[str, ...]:
        """The columns of texts, one or two."""

    @field_validator("matryoshka")
    @classmethod
    def _check_falling(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(first <= second for first, second in pairwise(value)):
            raise ValueError(f"{list(value)} was given, expected falling numbers, such as [384, 256, 128]")
        return value


@dataclass(frozen=True, eq=False)
class EncodedPairs:
    """The first and the second text of every row; a batch holds all first texts, then all second texts."""

    first: EncodedTexts
    second: EncodedTexts

    @property
    def row_of(self) -> None:
        """None: no row is split."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(rows,) the number of tokens of the longer text of each row."""
        return np.maximum(self.first.lengths, self.second.lengths)

    @property
    def tokens(self) -> int:
        """The number of tokens of both texts of all rows."""
        return int(self.first.lengths.sum() + self.second.lengths.sum())

    @property
    def side(self) -> str:
        """The side on which texts are padded."""
        return self.first.side

    @property
    def columns(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """The tokens of each row: those of both texts, one text after the other."""
        return {
            name: [[*first, *second] for first, second in zip(rows, self.second.columns[name], strict=True)]
            for name, rows in self.first.columns.items()
        }

    def __len__(self) -> int:
        return len(self.first)

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Inputs (2 · rows, tokens) int64, padded to the longest text, or padded and cut to `tokens`."""
        width = tokens or int(max(self.lengths[i] for i in positions))
        first, second = (texts.batch(positions, width) for texts in (self.first, self.second))
        return {name: np.concatenate([first[name], second[name]]) for name in first}

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """No arrays."""
        return {}

    def take(self, positions: Sequence[int]) -> EncodedPairs:
        """Some of the rows, in that order."""
        return EncodedPairs(self.first.take(positions), self.second.take(positions))

    def join(self, more: EncodedPairs) -> EncodedPairs:
        """These rows, followed by more rows of the same tokenizer."""
        return EncodedPairs(self.first.join(more.first), self.second.join(more.second))


def encode_sentences(
    params: SentenceParams, rows: Rows, tokenizer: PreTrainedTokenizerBase
) -> EncodedTexts | EncodedPairs:
    """Tokenises the one or two texts of each row, each with the prompt of its column before it."""
    prompts = params.prompts or ("",) * len(params.texts)
    encoded = [
        encode_texts(
            tokenizer,
            [[prompt + text for text in rows.table[column].to_pylist()]],
            max_tokens=params.max_tokens,
        )
        for column, prompt in zip(params.texts, prompts, strict=True)
    ]
    return encoded[0] if len(encoded) == 1 else EncodedPairs(encoded[0], encoded[1])
