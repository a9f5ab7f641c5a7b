"""Decides which texts count as the same: texts that differ only in case, punctuation or Unicode form.

Unicode forms are those that NFKC unifies, and characters without width. An entity of HTML is its character.
For a pair, the order of its texts does not count either. A train row that is the same as a gate row is a
leak. Two gate rows that are the same count as one row.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.data.arrow import Keys
from slimgate.outcomes import Ints

# str.split() treats it as white space, so it does not occur in a text whose white space is collapsed.
BETWEEN_TEXTS = "\x1f"


class _Replacements(dict[int, str]):
    """Code -> replacement, for str.translate: a space for punctuation, "" for control characters (Cf, Cc) and
    variation selectors, which choose the look of an emoji; else the character itself.

    An entry is made when its character first occurs, because Unicode has 1,114,112 characters.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        is_hidden = kind == "Cf" or (kind == "Cc" and not character.isspace()) or 0xFE00 <= code <= 0xFE0F
        replacement = "" if is_hidden else " " if kind[0] == "P" else character
        self[code] = replacement
        return replacement


_REPLACEMENTS = _Replacements()


@dataclass(frozen=True)
class HeldOutTexts:
    """Normalized texts of rows that no step may train on. A call returns which of its texts are held out."""

    texts: frozenset[str]

    def __call__(self, texts: Sequence[str]) -> list[bool]:
        return [normalize_row(text) in self.texts for text in texts]


def normalize_row(row: str) -> str:
    """Normalizes a text, or texts joined by BETWEEN_TEXTS, of a row. Rows that are the same become equal."""
    return BETWEEN_TEXTS.join(sorted(map(normalize_text, row.split(BETWEEN_TEXTS))))


def normalize_text(text: str) -> str:
    """A text in NFKC without case, punctuation (Unicode's P categories) and characters that are not seen.

    Entities of HTML become characters. A text that is only punctuation stays as it is.
    """
    plain = html.unescape(text) if "&" in text else text
    normalized = plain if plain.isascii() else unicodedata.normalize("NFKC", plain)
    return " ".join(normalized.casefold().translate(_REPLACEMENTS).split()) or text


def sort_texts(columns: list[Keys]) -> Keys:
    """Sorts the keys of each row's texts: (rows, 2 · columns), equal for the same texts in any order."""
    if len(columns) == 1:
        return columns[0]
    keys = np.stack(columns, axis=1)
    order = np.argsort(keys[:, :, 0], axis=1, kind="stable")
    return np.take_along_axis(keys, order[:, :, None], axis=1).reshape(len(keys), -1)


def join_groups(groups: Ints | None, texts: Ints) -> Ints | None:
    """Joins groups that share a text: (rows,) group ids, the same for all rows of one text.

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
    # a node for each group and each text, an edge for each row
    nodes = len(distinct_groups) + len(distinct_texts)
    edges = coo_array((np.ones(len(texts)), (group_of, len(distinct_groups) + text_of)), shape=(nodes, nodes))
    count, joined = connected_components(edges, directed=False)
    return groups if count == len(distinct_groups) else joined[group_of].astype(np.int64)
