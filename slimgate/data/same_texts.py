"""Decides which texts count as the same: texts that differ only in case, punctuation or Unicode form.

Unicode forms are those that NFKC unifies, and characters without width. For a pair, the order of its texts
does not count either. A row of train that the gate has in other case is a leak, and two such rows of the gate
are only one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.data.arrow import Ints, Keys

# str.split() treats it as white space, so no text whose white space is collapsed can hold it.
BETWEEN_TEXTS = "\x1f"


@dataclass(frozen=True)
class HeldOutTexts:
    """Normalized texts of rows that no step may train on. A call tells which of its texts are among them."""

    texts: frozenset[str]

    def __call__(self, texts: Sequence[str]) -> list[bool]:
        return [normalize_row(text) in self.texts for text in texts]


def normalize_row(row: str) -> str:
    """The text of a row, or its texts joined by BETWEEN_TEXTS, equal for all rows that count as the same."""
    return BETWEEN_TEXTS.join(sorted(map(normalize_text, row.split(BETWEEN_TEXTS))))


def normalize_text(text: str) -> str:
    """A text in NFKC without case, punctuation (Unicode's P categories) and format characters (Cf).

    A text of punctuation alone is kept.
    """
    normalized = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(normalized.casefold().translate(_REPLACEMENTS).split()) or text


class _Replacements(dict[int, str]):
    """The replacement of a character for str.translate: a space for punctuation, else empty.

    Characters are looked up when they first occur, because Unicode has 1,114,112.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        replacement = "" if kind == "Cf" else " " if kind[0] == "P" else character
        self[code] = replacement
        return replacement


_REPLACEMENTS = _Replacements()


def without_order(columns: list[Keys]) -> Keys:
    """(rows, 2 · columns) keys of each row's texts, equal if the rows have the same texts in any order."""
    if len(columns) == 1:
        return columns[0]
    keys = np.stack(columns, axis=1)
    order = np.argsort(keys[:, :, 0], axis=1, kind="stable")
    return np.take_along_axis(keys, order[:, :, None], axis=1).reshape(len(keys), -1)


def join_groups(groups: Ints | None, texts: Ints) -> Ints | None:
    """(rows,) group ids with all rows of one text in one group: groups that share a text are joined.

    groups: (rows,) ids, or None if each row is a group by itself; texts: (rows,) codes. If no text joins two
    groups, the groups are returned unchanged.
    """
    distinct_texts, text_of = np.unique(texts, return_inverse=True)
    if len(distinct_texts) == len(texts):
        return groups
    if groups is None:
        return texts
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    distinct_groups, group_of = np.unique(groups, return_inverse=True)
    nodes = len(distinct_groups) + len(
        distinct_texts
    )  # a node for each group and each text, an edge for each row
    edges = coo_array((np.ones(len(texts)), (group_of, len(distinct_groups) + text_of)), shape=(nodes, nodes))
    count, joined = connected_components(edges, directed=False)
    return groups if count == len(distinct_groups) else joined[group_of].astype(np.int64)
