"""The `statistic` of a metric that is a function of sums over rows of a few numbers per row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.judge.metrics.base import RowMean, RowSums, Statistic, check_weights
from slimgate.outcomes import Floats

if TYPE_CHECKING:
    from slimgate.outcomes import Outcomes

# This many rows of 16 terms each take 32 MB.
_ROWS_AT_ONCE = 2**18


def statistic_of_sums(row_sums: RowSums, *, in_blocks: bool = False) -> Statistic:
    """Makes a statistic of weighted sums over rows.

    Args:
        row_sums: the terms of each row, and the value of their sums.
        in_blocks: True if the terms of a row depend on that row alone and are many: some rows are read at a
            time.
    """

    def statistic(outcomes: Any, weights: Floats) -> Floats:
        check_weights(outcomes, weights)
        if not in_blocks or weights.ndim > 1 or len(weights) <= _ROWS_AT_ONCE:
            return row_sums.value(weights @ row_sums.terms(outcomes))
        starts = range(0, len(weights), _ROWS_AT_ONCE)
        parts = (np.arange(start, min(start + _ROWS_AT_ONCE, len(weights))) for start in starts)
        sums = sum(weights[rows] @ row_sums.terms(outcomes.take(rows)) for rows in parts)
        return row_sums.value(np.asarray(sums))

    return statistic


def make_row_mean(
    values: Callable[[Any], Floats], ends: Callable[[Any, Any], tuple[float, float]]
) -> RowMean:
    """A mean of (rows,) values. ends(teacher, variant) -> the lowest and the highest value of a row."""
    return RowMean(lambda outcomes: (values(outcomes), np.ones(len(outcomes))), ends)


def get_share_ends(_teacher: Outcomes, _variant: Outcomes) -> tuple[float, float]:
    """The lowest and the highest value of a row, if its value is a share."""
    return 0.0, 1.0


def divide_sums(sums: Floats) -> Floats:
    """(…, 2) sums -> (…,) the first divided by the second."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def mean_of(values: Callable[[Any], Floats]) -> RowSums:
    """Makes the row sums of a metric that is a mean over rows, for `statistic_of_sums`.

    Args:
        values: returns the value of each row, (rows,) float64, from outcomes.

    Returns:
        Two terms a row: its value, and 1. The metric is the quotient of their sums.
    """

    def terms(outcomes: Any) -> Floats:
        return np.stack([values(outcomes), np.ones(len(outcomes))], axis=1)

    return RowSums(terms, divide_sums)


def compute_usual_row(terms: Floats, sizes: Floats) -> Floats:
    """(k,) the terms of the row that a unit meets: the mean over rows that count by their sizes.

    The F1 of rows with several answers (spans, labels) uses this row, all right and all wrong, as its
    extremes, since a row that changes may lose all it has. If all sizes are 0, it is the plain mean.
    """
    weights = sizes if sizes.any() else np.ones(len(sizes))
    return np.asarray(weights @ terms / weights.sum())
