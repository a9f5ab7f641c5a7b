"""A metric made of scores that another tool gave each sample: 0/1 by Tango's test, others as a mean.

The rows of several comparisons may stand in one Outcomes, told apart by the column `comparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from slimgate.judge.metrics.base import Metric, check_weights
from slimgate.judge.metrics.row_sums import mean_of, row_mean
from slimgate.outcomes import RIGHT, Floats, Ints, Outcomes

SCORE, COMPARISON = "score", "comparison"
# The kind of task of a record whose rows are scores in logs.
RECORD_KIND = "logs"


def score_metric(
    name: str, *, higher_is_better: bool, zero_one: bool, share: bool = False, at: int | None = None
) -> Metric:
    """The mean score. zero_one: all scores are 0 or 1; share: all are from 0 to 1. at: the number of its
    comparison, where the outcomes hold several.
    """
    return Metric(
        name=name,
        higher_is_better=higher_is_better,
        value_range=(0.0, 1.0) if zero_one or share else (-inf, inf),
        needs=SCORE,
        statistic=_mean,
        per_row=_scores if zero_one else None,
        row_sums=mean_of(_scores),
        row_mean=row_mean(_scores, _ends),
        rows=None if at is None else _rows_of(at),
    )


def metrics_of_record(comparisons: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    """By name the metrics of a record made of logs. comparisons: in the order of their numbers."""
    return {
        str(one["name"]): score_metric(
            str(one["name"]),
            higher_is_better=bool(one["higher_is_better"]),
            zero_one=bool(one["zero_one"]),
            at=at,
        )
        for at, one in enumerate(comparisons)
    }


def is_share(*scores: Floats) -> bool:
    """Whether all scores are from 0 to 1."""
    return all(one.min() >= 0 and one.max() <= 1 for one in scores)


def score_outcomes(ids: Any, scores: Floats, groups: Ints | None, *, right: bool) -> Outcomes:
    """right: whether scores of 1 are right answers and 0 wrong ones."""
    values = {SCORE: scores, RIGHT: scores} if right else {SCORE: scores}
    return Outcomes(ids, values=values, groups=groups)


def _scores(outcomes: Outcomes) -> Floats:
    return outcomes.column(SCORE)


def _mean(outcomes: Outcomes, weights: Floats) -> Floats:
    check_weights(outcomes, weights)
    return np.asarray(weights @ _scores(outcomes) / weights.sum(axis=-1))


def _ends(teacher: Outcomes, variant: Outcomes) -> tuple[float, float]:
    """From 0 to 1 where all scores are; else the lowest and the highest that either model has."""
    before, after = _scores(teacher), _scores(variant)
    if is_share(before, after):
        return 0.0, 1.0
    return float(min(before.min(), after.min())), float(max(before.max(), after.max()))


def _rows_of(at: int) -> Callable[[Any], Ints]:
    def rows(outcomes: Outcomes) -> Ints:
        return np.flatnonzero(outcomes.column(COMPARISON) == at)

    return rows
