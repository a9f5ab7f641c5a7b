"""Which texts count as one: those that differ only in case, punctuation, how Unicode writes the same
characters (NFKC, characters without width) or, of a pair, in order.

A row of train that the gate has in other case is a leak, and two such rows of the gate are no two rows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.data.arrow import Ints, Keys

# str.split() takes it for white space, so no text whose white space is collapsed can hold it.
BETWEEN_TEXTS = "\x1f"


@dataclass(frozen=True)
class HeldOutTexts:
    """Normalized texts of rows that no step may train on. A call says which of its texts are among them."""

    texts: frozenset[str]

    def __call__(self, texts: Sequence[str]) -> list[bool]:
        return [normalize_row(text) in self.texts for text in texts]


def normalize_row(row: str) -> str:
    """The text of a row, or its texts joined by BETWEEN_TEXTS, equal for all that count as one."""
    return BETWEEN_TEXTS.join(sorted(map(normalize_text, row.split(BETWEEN_TEXTS))))


def normalize_text(text: str) -> str:
    """A text in NFKC without case, punctuation (Unicode's P categories) and characters of format (Cf).

    A text of punctuation alone is kept.
    """
    normalized = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(normalized.casefold().translate(_REPLACEMENTS).split()) or text


class _Replacements(dict[int, str]):
    """What str.translate puts for a character: a space for punctuation, nothing for one of format.

    Characters are looked up as they are met: Unicode has 1,114,112.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        replacement = "" if kind == "Cf" else " " if kind[0] == "P" else character
        self[code] = replacement
        return replacement


_REPLACEMENTS = _Replacements()


def without_order(columns: list[Keys]) -> Keys:
    """(rows, 2 · columns) keys of each row's texts, equal where the rows have the same texts in any order."""
    if len(columns) == 1:
        return columns[0]
    keys = np.stack(columns, axis=1)
    order = np.argsort(keys[:, :, 0], axis=1, kind="stable")
    return np.take_along_axis(keys, order[:, :, None], axis=1).reshape(len(keys), -1)


def join_groups(groups: Ints | None, texts: Ints) -> Ints | None:
    """(rows,) group ids with all rows of one text in one group: groups that share a text become one.

    groups: (rows,) ids, or None if each row is a group of its own; texts: (rows,) codes. Where no text
    joins two groups, the groups come back as they are.
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
