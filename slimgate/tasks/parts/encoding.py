"""Encodes texts as token ids and makes padded batches of them.

For rows of words, it also notes the first token of each word, which carries the tag of the word.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.plugins.base import Arrays

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Marks tokens that are not the first of a word: special tokens, padding, and later tokens of words.
NO_WORD = -1


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """Tokenised rows. columns: name (input_ids, attention_mask, …) -> a list of ints for each row.

    padding: name of a column -> its padding value. side: the padded side, "right" or "left". tokenizer: the
    tokenizer that encoded the rows.
    """

    columns: Mapping[str, Sequence[Sequence[int]]]
    padding: Mapping[str, int]
    side: str
    lengths: npt.NDArray[np.int64]
    row_of: npt.NDArray[np.int64] | None = None
    tokenizer: PreTrainedTokenizerBase | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def compute_unknown_shares(self) -> npt.NDArray[np.float64]:
        """(rows,) the share of a row's tokens, special ones left out, that the tokenizer does not know."""
        shares, tokenizer = np.zeros(len(self)), self.tokenizer
        unknown = getattr(tokenizer, "unk_token_id", None)
        if tokenizer is None or unknown is None:
            return shares
        # GPT-2 declares its end-of-text token as the unknown token, but can encode every text as bytes.
        if unknown in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
            return shares
        special = set(tokenizer.all_special_ids) - {unknown}
        for row, ids in enumerate(self.columns["input_ids"]):
            words = [token for token in ids if token not in special]
            shares[row] = words.count(unknown) / max(len(words), 1)
        return shares

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """No arrays: a model reads all that these rows have. Override it if `Task.read_output` needs more.

        Args:
            positions: the positions of the rows of a batch.

        Returns:
            An empty dict.
        """
        return {}

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Makes the inputs of one call of a model.

        Args:
            positions: the positions of the rows.
            tokens: the width to pad or cut the rows to; None pads them to the longest of these rows. A row
                that is cut keeps its first tokens.

        Returns:
            Name of a column, such as input_ids -> (rows, tokens) int64.
        """
        width = tokens or int(max(self.lengths[i] for i in positions))
        return {
            name: self._pad_rows([values[i] for i in positions], self.padding[name], width)
            for name, values in self.columns.items()
        }

    def take(self, positions: Sequence[int]) -> Self:
        """Selects rows by position.

        Args:
            positions: the positions of encoded rows, in the order of the result.

        Returns:
            These rows. `row_of` keeps its numbers.
        """
        return replace(
            self,
            columns={name: [values[i] for i in positions] for name, values in self.columns.items()},
            lengths=self.lengths[list(positions)],
            row_of=None if self.row_of is None else self.row_of[list(positions)],
        )

    def join(self, more: Self) -> Self:
        """Appends more rows.

        Args:
            more: rows by the same tokenizer, with the same columns.

        Returns:
            All rows, these first. If both have `row_of`, the rows of `more` are numbered after these.
        """
        row_of = None
        if self.row_of is not None and more.row_of is not None:
            row_of = np.concatenate([self.row_of, more.row_of + self.row_of.max() + 1])
        return replace(
            self,
            columns={name: [*values, *more.columns[name]] for name, values in self.columns.items()},
            lengths=np.concatenate([self.lengths, more.lengths]),
            row_of=row_of,
        )

    def _pad_rows(self, rows: Sequence[Sequence[int]], padding: int, width: int) -> npt.NDArray[np.int64]:
        """(rows, width): rows cut to the width, or padded on `side`."""
        padded = np.full((len(rows), width), padding, dtype=np.int64)
        for line, values in zip(padded, rows, strict=True):
            shortened = values[:width]
            if self.side == "right":
                line[: len(shortened)] = shortened
            else:
                line[width - len(shortened) :] = shortened
        return padded


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[Sequence[str]], *, max_tokens: int
) -> EncodedTexts:
    """Tokenises rows of one or two texts.

    Args:
        tokenizer: a loaded tokenizer.
        texts: one sequence of rows for each text column.
        max_tokens: longer rows are cut to this length.
    """
    with keep_truncation(tokenizer):
        if tokenizer.is_fast:
            columns = _encode_fast(tokenizer, texts, max_tokens)
        else:
            columns = dict(tokenizer(*map(list, texts), truncation=True, max_length=max_tokens))
    return EncodedTexts(**make_encoded_fields(tokenizer, columns))


def _encode_fast(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[Sequence[str]], max_tokens: int
) -> dict[str, list[list[int]]]:
    """The result of a fast tokenizer's call in less time, without offsets and objects.

    This matters if calls are timed from text to answer.
    """
    inner, names = tokenizer.backend_tokenizer, tokenizer.model_input_names
    inner.no_padding()
    inner.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
    inner.encode_special_tokens = tokenizer.split_special_tokens
    encodings = inner.encode_batch_fast(list(texts[0]) if len(texts) == 1 else list(zip(*texts, strict=True)))
    ids = [encoding.ids for encoding in encodings]
    columns = {"input_ids": ids}
    if "token_type_ids" in names:
        columns["token_type_ids"] = [encoding.type_ids for encoding in encodings]
    if "attention_mask" in names:
        columns["attention_mask"] = [[1] * len(row) for row in ids]
    return columns


def make_encoded_fields(
    tokenizer: PreTrainedTokenizerBase, columns: Mapping[str, Sequence[Sequence[int]]]
) -> dict[str, Any]:
    """The fields of EncodedTexts for the columns that a tokenizer returned."""
    padding = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
    return {
        "columns": columns,
        "padding": {name: padding.get(name, 0) for name in columns},
        "side": tokenizer.padding_side,
        "tokenizer": tokenizer,
        "lengths": np.asarray([len(ids) for ids in columns["input_ids"]], dtype=np.int64),
    }


def make_right_padded_fields(ids: Sequence[Sequence[int]], *, padding: int) -> dict[str, Any]:
    """The fields of EncodedTexts for rows of token ids, padded on the right by the id `padding`."""
    return {
        "columns": {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]},
        "padding": {"input_ids": padding, "attention_mask": 0},
        "side": "right",
        "lengths": np.asarray([len(row) for row in ids], dtype=np.int64),
    }


@contextmanager
def keep_truncation(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Restores the truncation settings of a fast tokenizer.

    The tokenizer keeps those of its last call and saves them, so tokenizers of artifacts would differ.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    before = inner.truncation if inner is not None else None
    try:
        yield
    finally:
        if inner is not None:
            inner.enable_truncation(**before) if before else inner.no_truncation()


@dataclass(frozen=True, eq=False)
class EncodedWords(EncodedTexts):
    """Tokenised words. word_of: for each token of each row, the word that it begins, or NO_WORD."""

    word_of: Sequence[Sequence[int]] = ()

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """word_of: (rows, tokens) int64, padded as the inputs are."""
        width = int(max(self.lengths[i] for i in positions))
        return {"word_of": self._pad_rows([self.word_of[i] for i in positions], NO_WORD, width)}

    def take(self, positions: Sequence[int]) -> Self:
        """Some of the rows, in that order."""
        return replace(super().take(positions), word_of=[self.word_of[i] for i in positions])

    def join(self, more: Self) -> Self:
        """Appends more rows by the same tokenizer."""
        return replace(super().join(more), word_of=[*self.word_of, *more.word_of])


def encode_words(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Sequence[str]], *, max_tokens: int
) -> EncodedWords:
    """Tokenises rows of words, joined by blanks and cut to `max_tokens`.

    It assigns tokens to words by their offsets in the text, so the result is right for every fast tokenizer.
    Raises BuildError for a tokenizer without offsets.
    """
    if not tokenizer.is_fast:
        raise BuildError(f"{type(tokenizer).__name__} gives no offsets of tokens; use a fast tokenizer")
    texts = [" ".join(words) for words in rows]
    with keep_truncation(tokenizer):
        columns = dict(tokenizer(texts, truncation=True, max_length=max_tokens, return_offsets_mapping=True))
    offsets = columns.pop("offset_mapping")
    word_of = [_find_first_tokens(words, spans) for words, spans in zip(rows, offsets, strict=True)]
    return EncodedWords(**make_encoded_fields(tokenizer, columns), word_of=word_of)


def _find_first_tokens(words: Sequence[str], spans: Iterable[tuple[int, int]]) -> list[int]:
    """For each token (start, end) of the joined text, the word that it is the first of, or NO_WORD."""
    # each includes the blank after it
    ends = list(accumulate((len(word) + 1 for word in words), initial=0))[1:]
    places, seen = [], NO_WORD
    for start, end in spans:
        last = end - 1  # the last character, because a token may begin with the blank before its word
        word = bisect_right(ends, last) if end > start else len(ends)
        inside = word < len(ends) and last < ends[word] - 1
        first = inside and word > seen
        places.append(word if first else NO_WORD)
        seen = word if first else seen
    return places
