"""Weighted correlations of scores, of their values or of their ranks among the weighted rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slimgate.outcomes import Floats

# (…, rows) weights -> (rows,) or (…, rows) values that are correlated
ValuesUnder = Callable[[Floats], Floats]


def prepare_values(scores: Floats) -> ValuesUnder:
    """Prepares scores (rows,) for Pearson's correlation: their values, whatever the weights."""
    centred: Floats = scores - scores.mean()
    return lambda _weights: centred


def prepare_ranks(scores: Floats) -> ValuesUnder:
    """Prepares scores (rows,) for Spearman's correlation: their ranks among the weighted rows.

    A rank is the middle of the places that a row's equal scores take, from 0 to the sum of the weights.
    Scores that differ in their last digit are not equal.
    """
    order = np.argsort(scores, kind="stable")
    rising = scores[order]
    first = np.searchsorted(rising, rising, side="left")
    last = np.searchsorted(rising, rising, side="right") - 1

    def ranks_under(weights: Floats) -> Floats:
        by_place = weights[..., order]
        upto = np.cumsum(by_place, axis=-1)
        below = upto[..., first] - by_place[..., first]
        ranks = np.empty_like(upto)
        ranks[..., order] = (below + upto[..., last]) / 2
        return ranks

    return ranks_under


def compute_correlation(first: Floats, second: Floats, weights: Floats) -> Floats:
    """(…,) the correlation under each weighting; NaN if one side does not vary.

    first, second: (rows,) or (…, rows); weights: (…, rows).
    """
    total = weights.sum(axis=-1, keepdims=True)
    a = first - (weights * first).sum(axis=-1, keepdims=True) / total
    b = second - (weights * second).sum(axis=-1, keepdims=True) / total
    product = (weights * a**2).sum(axis=-1) * (weights * b**2).sum(axis=-1)
    values = np.full(product.shape, np.nan)
    np.divide((weights * a * b).sum(axis=-1), np.sqrt(product), out=values, where=product > 0)
    return np.clip(values, -1.0, 1.0)
