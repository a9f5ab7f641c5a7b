"""slimgate.judge.score_metric: the metric of a tool's scores, and those of a record."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from slimgate.judge.score_metric import (
    COMPARISON,
    SCORE,
    make_record_metrics,
    make_score_metric,
    make_score_outcomes,
)
from slimgate.outcomes import RIGHT, Outcomes

GRADES = Outcomes(
    np.array(["a", "b", "c"]), values={SCORE: np.array([1.0, 4.0, 7.0]), COMPARISON: np.array([0, 1, 1])}
)


def test_the_metric_is_the_mean_score() -> None:
    metric = make_score_metric("grade", higher_is_better=True, zero_one=False, score_range=(0, 10))
    assert metric.statistic(GRADES, np.ones(3)) == 4.0
    assert metric.statistic(GRADES, np.array([0.0, 1.0, 1.0])) == 5.5
    assert (metric.value_range, metric.per_row, metric.needs) == ((0, 10), None, SCORE)
    assert metric.row_sums is not None
    assert metric.rows is None


@pytest.mark.parametrize("higher", [True, False])
def test_scores_of_0_and_1_are_judged_row_by_row(higher: bool) -> None:
    metric = make_score_metric("acc", higher_is_better=higher, zero_one=True, score_range=None)
    assert metric.higher_is_better is higher
    assert metric.value_range == (0.0, 1.0)
    assert metric.per_row is not None
    assert metric.per_row(GRADES).tolist() == [1.0, 4.0, 7.0]


def test_a_score_without_a_range_has_no_ends() -> None:
    assert make_score_metric("x", higher_is_better=True, zero_one=False, score_range=None).value_range == (
        -inf,
        inf,
    )


RECORD = [
    {"name": "task/acc", "higher_is_better": True, "zero_one": True, "range": [0.0, 1.0]},
    {"name": "task/toxicity", "higher_is_better": False, "zero_one": False, "range": [0.0, None], "cap": 3.0},
    {"name": "task/gain", "higher_is_better": True, "zero_one": False, "range": [None, 2.0]},
    {"name": "task/grade", "higher_is_better": True, "zero_one": False},
]


def test_the_metrics_of_a_record_are_those_that_were_judged() -> None:
    metrics = make_record_metrics(RECORD)
    assert list(metrics) == [row["name"] for row in RECORD]
    assert [metric.name for metric in metrics.values()] == list(metrics)
    assert [metric.higher_is_better for metric in metrics.values()] == [True, False, True, True]
    assert [metric.per_row is not None for metric in metrics.values()] == [True, False, False, False]
    assert [metric.value_range for metric in metrics.values()] == [
        (0.0, 1.0),
        (0.0, inf),
        (-inf, 2.0),
        (-inf, inf),
    ]
    caps = [metric.row_mean and metric.row_mean.cap for metric in metrics.values()]
    assert [cap and cap(GRADES, GRADES) for cap in caps] == [None, 3.0, None, None]
    rows = [metric.rows and metric.rows(GRADES).tolist() for metric in metrics.values()]
    assert rows == [[0], [1, 2], [], []]


def test_scores_are_right_answers_only_where_that_is_said() -> None:
    scores = np.array([0.0, 1.0])
    ids = np.array(["a", "b"])
    assert set(make_score_outcomes(ids, scores, None, right=False).values) == {SCORE}
    right = make_score_outcomes(ids, scores, None, right=True)
    assert right.values[RIGHT].tolist() == right.values[SCORE].tolist() == [0.0, 1.0]
