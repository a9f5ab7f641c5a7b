"""Rows of two texts that are encoded apart: a query and its document, or two sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.protocols import Arrays, Encoded, Rows
from slimgate.tasks.parts.encoding import EncodedTexts, encode_texts
from slimgate.tasks.parts.sentence_params import SentenceParams


@dataclass(frozen=True, eq=False)
class EncodedPairs:
    """The first and the second text of every row; a batch holds all first ones, then all second ones."""

    first: EncodedTexts
    second: EncodedTexts
    row_of: npt.NDArray[np.int64] | None = None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of the longer text of each row: (rows,)."""
        return np.maximum(self.first.lengths, self.second.lengths)

    @property
    def tokens(self) -> int:
        """Of both texts of all rows."""
        return int(self.first.lengths.sum() + self.second.lengths.sum())

    @property
    def side(self) -> str:
        """Where texts are padded."""
        return self.first.side

    @property
    def columns(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """The tokens of each row, those of both texts one after another."""
        return {
            name: [[*mine, *theirs] for mine, theirs in zip(rows, self.second.columns[name], strict=True)]
            for name, rows in self.first.columns.items()
        }

    def __len__(self) -> int:
        return len(self.first)

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Inputs (2 · rows, tokens) int64, padded to the longest text, or padded and cut to `tokens`."""
        width = tokens or int(max(self.lengths[i] for i in positions))
        first, second = (one.batch(positions, width) for one in (self.first, self.second))
        return {name: np.concatenate([first[name], second[name]]) for name in first}

    def beside(self, positions: Sequence[int]) -> Arrays:  # noqa: ARG002
        """Nothing."""
        return {}

    def taken(self, positions: Sequence[int]) -> EncodedPairs:
        """Some of the rows, in that order."""
        return EncodedPairs(self.first.taken(positions), self.second.taken(positions))

    def joined(self, more: EncodedPairs) -> EncodedPairs:
        """These rows and more behind them, of the same tokenizer."""
        return EncodedPairs(self.first.joined(more.first), self.second.joined(more.second))


def encode_sentences(params: SentenceParams, rows: Rows, tokenizer: Any) -> EncodedTexts | EncodedPairs:
    """Tokenises the one or two texts of each row, behind their prompts."""
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


def row_encoder(params: SentenceParams, folder: Path) -> Callable[[Rows], Encoded]:
    """Tokenises rows by the tokenizer of an artifact, which is loaded once."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return lambda rows: encode_sentences(params, rows, tokenizer)
