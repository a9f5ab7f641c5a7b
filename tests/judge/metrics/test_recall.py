"""Recall is judged by the rows of the positive class, which are the same for every model."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes

POSITIVES, NEGATIVES = 900, 2_100


def outcomes_of(hits: int, *, false_alarms: int = 0, groups: bool = False) -> ClassOutcomes:
    """900 positives, of which `hits` are predicted, and 2,100 negatives with so many false alarms."""
    labels = np.repeat([1, 0], [POSITIVES, NEGATIVES])
    predictions = np.zeros(len(labels), dtype=np.int64)
    predictions[:hits] = 1
    predictions[POSITIVES : POSITIVES + false_alarms] = 1
    return ClassOutcomes(
        ids=np.array([f"r{k}" for k in range(len(labels))]),
        labels=labels,
        predictions=predictions,
        classes=("no", "yes"),
        groups=np.arange(len(labels)) // 10 if groups else None,
    )


@pytest.mark.parametrize("groups", [False, True])
def test_the_interval_is_that_of_accuracy_on_the_positive_rows(groups: bool) -> None:
    teacher, variant = outcomes_of(880, groups=groups), outcomes_of(860, false_alarms=50, groups=groups)
    positive = np.arange(POSITIVES)
    judged = judge_quality(load_metric("recall"), teacher, variant, [])
    same = judge_quality(
        load_metric("accuracy"), teacher.take(positive), variant.take(positive), [], resamples=10
    )
    assert judged.teacher == same.teacher == pytest.approx(880 / 900)
    assert judged.drop_points == same.drop_points == pytest.approx(100 * 20 / 900)
    assert judged.interval is not None
    assert same.interval is not None
    # accuracy of single rows has Tango's interval, that of groups the same bound as recall
    assert judged.interval == pytest.approx(same.interval, abs=0.0 if groups else 0.3)


@pytest.mark.parametrize(("limit", "verdict"), [(0.25, Verdict.INCONCLUSIVE), (0.5, Verdict.PASS)])
def test_rows_that_no_sample_showed_are_allowed_for(limit: float, verdict: Verdict) -> None:
    """Of 900 positives 0.25 points are 2.3 rows: none of them is lost in 10 % of the samples."""
    same = outcomes_of(880)
    judged = judge_quality(load_metric("recall"), same, same, [QualityBudget("drop_points", limit)])
    assert judged.verdict is verdict


def test_rows_without_a_positive_are_an_error() -> None:
    negatives = outcomes_of(0).take(np.arange(POSITIVES, POSITIVES + NEGATIVES))
    with pytest.raises(
        MeasureError, match=r"recall: the sizes of the 2100 rows are 0 to 0, expected .* above"
    ):
        judge_quality(load_metric("recall"), negatives, negatives, [QualityBudget("drop_points", 1.0)])


def test_recall_weighted_by_rows_is_accuracy_and_judged_as_it_is() -> None:
    teacher, variant = outcomes_of(880, false_alarms=20), outcomes_of(860, false_alarms=50)
    budgets = [QualityBudget("drop_points", 1.0)]
    weighted = judge_quality(load_metric("recall_weighted"), teacher, variant, budgets)
    accuracy = judge_quality(load_metric("accuracy"), teacher, variant, budgets)
    assert (weighted.drop_points, weighted.interval) == (
        pytest.approx(accuracy.drop_points),
        accuracy.interval,
    )
    assert weighted.method == accuracy.method == "Tango"
