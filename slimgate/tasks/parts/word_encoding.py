"""Rows of words as token ids, with the first token of each word known: it carries the word's tag."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from slimgate.errors import BuildError
from slimgate.protocols import Arrays
from slimgate.tasks.parts.encoding import EncodedTexts, encoded_fields, unchanged

# The place of a token that is not the first of a word: special ones, padding, and the rest of words.
NO_WORD = -1


@dataclass(frozen=True, eq=False)
class EncodedWords(EncodedTexts):
    """Tokenised words. word_of: for each row and token, the word whose first token it is, or NO_WORD."""

    word_of: Sequence[Sequence[int]] = ()

    def beside(self, positions: Sequence[int]) -> Arrays:
        """word_of: (rows, tokens) int64, padded as the inputs are."""
        width = int(max(self.lengths[i] for i in positions))
        return {"word_of": self._filled([self.word_of[i] for i in positions], NO_WORD, width)}

    def joined(self, more: EncodedTexts) -> EncodedWords:
        """These rows and more behind them, of the same tokenizer."""
        assert isinstance(more, EncodedWords)
        both = super().joined(more)
        assert isinstance(both, EncodedWords)
        return replace(both, word_of=[*self.word_of, *more.word_of])


def encode_words(tokenizer: Any, rows: Sequence[Sequence[str]], *, max_tokens: int) -> EncodedWords:
    """Tokenises rows of words, with blanks between them, cut to `max_tokens`.

    A word is told by where its tokens lie in the text, so that every fast tokenizer does alike. Raises
    BuildError for a tokenizer that does not say where.
    """
    if not tokenizer.is_fast:
        raise BuildError(f"{type(tokenizer).__name__} does not tell where tokens lie; a fast tokenizer does")
    texts = [" ".join(words) for words in rows]
    with unchanged(tokenizer):
        columns = dict(tokenizer(texts, truncation=True, max_length=max_tokens, return_offsets_mapping=True))
    offsets = columns.pop("offset_mapping")
    word_of = [_first_tokens(words, spans) for words, spans in zip(rows, offsets, strict=True)]
    return EncodedWords(**encoded_fields(tokenizer, columns), word_of=word_of)


def _first_tokens(words: Sequence[str], spans: Iterable[tuple[int, int]]) -> list[int]:
    """For each token (start, end) of the joined text, the word that it is the first of, or NO_WORD."""
    ends = list(accumulate((len(word) + 1 for word in words), initial=0))[1:]  # each with the blank behind it
    found, seen = [], NO_WORD
    for start, end in spans:
        last = end - 1  # a token may begin with the blank before its word
        word = bisect_right(ends, last) if end > start else len(ends)
        inside = word < len(ends) and last < ends[word] - 1
        first = inside and word > seen
        found.append(word if first else NO_WORD)
        seen = word if first else seen
    return found
