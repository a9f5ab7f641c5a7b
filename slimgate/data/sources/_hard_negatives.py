"""Hard negatives: for each query the texts of others that are most like it, dealt out evenly.

Every query gets as many negatives as it is asked for, and every text is a negative equally often, so that a
model which reads only one side of a pair is no better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Texts that are more alike than this say the same: one is no wrong answer for the other.
ALIKE = 0.8
# So low that no sum of similarities makes up for it.
_NEVER = -1e6

Floats = npt.NDArray[np.float64]


def text_vectors(texts: Sequence[str]) -> Any:
    """TF-IDF of words, rows of length 1: a sparse matrix (texts, words), whose products are cosines."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float64).fit_transform(texts)


def deal_negatives(likeness: Floats, alike: Floats, count: int) -> list[tuple[int, int]]:
    """(query, text of another) pairs: `count` for each query that is kept, each kept text `count` times.

    likeness: (n, n) of query i to text j; text i is the query's own. alike: (n, n) of text i to text j.
    The most alike as a whole, by optimal assignment. Queries for which too few texts are left drop out.
    """
    kept = np.arange(len(likeness))
    while len(kept) > count:
        allowed = alike[np.ix_(kept, kept)] <= ALIKE
        np.fill_diagonal(allowed, False)
        dealt, short = _deal(likeness[np.ix_(kept, kept)], allowed, count)
        if not short.any():
            return [(int(kept[query]), int(kept[text])) for query, text in dealt]
        kept = kept[~short]
    return []


def _deal(likeness: Floats, allowed: npt.NDArray[np.bool_], count: int) -> tuple[list[tuple[int, int]], Any]:
    """The pairs, and which of the queries got one that is not allowed."""
    from scipy.optimize import linear_sum_assignment

    free, short = allowed.copy(), np.zeros(len(likeness), dtype=np.bool_)
    dealt: list[tuple[int, int]] = []
    for _ in range(count):
        queries, texts = linear_sum_assignment(np.where(free, likeness, _NEVER), maximize=True)
        short |= ~free[queries, texts]
        free[queries, texts] = False
        dealt += zip(queries, texts, strict=True)
    return dealt, short
