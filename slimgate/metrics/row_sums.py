"""The `statistic` of a metric that is a function of sums over rows of a few numbers per row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slimgate.metrics.base import RowSums, Statistic, check_weights
from slimgate.outcomes import Floats, Outcomes


def statistic_of_sums(row_sums: RowSums) -> Statistic:
    """Weighted sums over rows, then the value of them."""

    def statistic(outcomes: Outcomes, weights: Floats) -> Floats:
        check_weights(outcomes, weights)
        return row_sums.value(weights @ row_sums.terms(outcomes))

    return statistic


def mean_of(values: Callable[[Outcomes], Floats]) -> RowSums:
    """The sums of a mean of (rows,) values: of the values, and of ones."""

    def terms(outcomes: Outcomes) -> Floats:
        return np.stack([values(outcomes), np.ones(len(outcomes))], axis=1)

    return RowSums(terms, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))
