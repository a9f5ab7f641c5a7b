"""A row that is NaN or infinite never passes: over all metrics, at the door of the outcomes and behind it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from slimgate.errors import MeasureError, SlimgateError
from slimgate.judge.budget_kinds import QualityBudget, list_suited_kinds
from slimgate.judge.metrics import list_known_metrics, load_metric
from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.classes import GOLD
from slimgate.judge.metrics.label_sets import PREDICTED, WRONG
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import RIGHT, ClassOutcomes, Outcomes
from slimgate.results.base import Verdict

ROWS, CLASSES = 300, 2
BAD = [np.nan, np.inf, -np.inf]


class Columns(dict[str, Any]):
    """Values of whatever name a metric asks for, made when it does: whole numbers above 0."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._draw, self.asked = np.random.default_rng(seed), set[str]()

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        self.asked.add(name)
        self[name] = self._draw.integers(1, 5, ROWS).astype(np.float64)
        return self[name]


def outcomes_for(metric: Metric, seed: int = 0) -> Outcomes:
    """Outcomes of the kind that the metric needs, good enough to be judged."""
    ids = np.arange(ROWS).astype(np.str_)
    if metric.needs in ("prediction", "probabilities"):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, CLASSES, ROWS)
        probabilities = draw.dirichlet(np.ones(CLASSES), ROWS)
        return ClassOutcomes(ids, labels, probabilities.argmax(axis=1), tuple("ab"[:CLASSES]), probabilities)
    if metric.needs == "labels_wrong":
        draw = np.random.default_rng(seed)
        names = [*(f"{of}{label}" for of in (GOLD, PREDICTED) for label in "ab"), WRONG, RIGHT]
        return Outcomes(ids, values={name: draw.integers(0, 2, ROWS).astype(np.float64) for name in names})
    outcomes = Outcomes(ids)
    object.__setattr__(outcomes, "values", Columns(seed))
    with suppress(SlimgateError):  # asks for the columns that it needs
        metric.statistic(outcomes, np.ones(ROWS))
    return Outcomes(ids, values=dict(outcomes.values))


@pytest.mark.parametrize("name", list_known_metrics())
@pytest.mark.parametrize("bad", BAD, ids=["nan", "inf", "-inf"])
def test_one_row_that_is_not_finite_is_an_error_or_a_fail(name: str, bad: float) -> None:
    metric = load_metric(name)
    kind = list_suited_kinds(metric)[0]
    budgets = [QualityBudget(kind, 50.0 if kind == "drop_points" else 0.5)]
    teacher, variant = outcomes_for(metric), outcomes_for(metric)
    arrays = [variant.probabilities] if isinstance(variant, ClassOutcomes) else [*variant.values.values()]
    assert arrays, "nothing to spoil"
    for place, array in enumerate(arrays):
        assert array is not None
        if isinstance(variant, ClassOutcomes) and metric.needs == "prediction":
            continue  # a prediction is a whole number
        original = array[7].copy()
        array[7] = bad  # behind the door: outcomes are checked when they are made
        try:
            verdict = judge_quality(metric, teacher, variant, budgets, resamples=99).verdict
        except SlimgateError:
            continue
        finally:
            array[7] = original
        assert verdict is not Verdict.PASS, (name, place)


@pytest.mark.parametrize("bad", BAD, ids=["nan", "inf", "-inf"])
def test_outcomes_of_any_task_are_refused_with_such_a_row(bad: float) -> None:
    values = np.ones(ROWS)
    values[7] = bad
    ids = np.arange(ROWS).astype(np.str_)
    with pytest.raises(MeasureError, match="NaN or infinite"):
        Outcomes(ids, values={"nats": values})
    spoiled = np.full((ROWS, CLASSES), 0.5)
    spoiled[7, 1] = bad
    labels = np.zeros(ROWS, dtype=np.int64)
    with pytest.raises(MeasureError, match="NaN or infinite"):
        ClassOutcomes(ids, labels, labels, ("a", "b"), spoiled)
