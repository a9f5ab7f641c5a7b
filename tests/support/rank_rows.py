"""The mean reciprocal rank as a metric, and rows of numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slimgate.judge.metrics.base import Metric, mean_of, statistic_of_sums
from slimgate.outcomes import Floats, Ints, Outcomes


def make_best_and_worst(_outcomes: Outcomes) -> Floats:
    """The sums of a row at its best, 1, and of one at its worst, 0."""
    return np.array([[1.0, 1.0], [0.0, 1.0]])


RANK = replace(mean_of(lambda outcomes: 1 / outcomes.column("rank")), extremes=make_best_and_worst)
MRR = Metric("mrr", True, (0.0, 1.0), "rank", statistic_of_sums(RANK), row_sums=RANK)


def make_rows(groups: Ints | None = None, **values: Floats) -> Outcomes:
    """Outcomes with columns of numbers; ids 0, 1, …"""
    ids = np.arange(len(next(iter(values.values())))).astype(np.str_)
    return Outcomes(ids, values=values, groups=groups)
