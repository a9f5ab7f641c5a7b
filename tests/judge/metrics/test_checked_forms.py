"""What the judge reads in place of the statistic is checked against it: influence, documents, correlated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge import QualityBudget, judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import Correlated, Documents, compute_value
from slimgate.judge.metrics.checked_forms import check_same_value
from slimgate.outcomes import ClassOutcomes, Floats, Outcomes

ROC_AUC = load_metric("roc_auc")


def _make_scored_rows(positives: int, negatives: int) -> ClassOutcomes:
    rng = np.random.default_rng(3)
    labels = np.r_[np.ones(positives, np.int64), np.zeros(negatives, np.int64)]
    scores = np.round(1 / (1 + np.exp(-(labels + rng.normal(0, 1, len(labels))))), 2)
    ids = np.arange(len(labels)).astype(np.str_)
    probabilities = np.stack([1 - scores, scores], axis=1)
    return ClassOutcomes(ids, labels, (scores > 0.5).astype(np.int64), ("a", "b"), probabilities)


def _compute_influence(outcomes: Any) -> Floats:
    assert ROC_AUC.influence is not None
    return ROC_AUC.influence(outcomes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda o: _compute_influence(o) / len(o), "roc_auc moves by .* but by .* by its influence"),
        (lambda o: 0 * _compute_influence(o), "roc_auc moves by .* but by 0 by its influence"),
        (
            lambda o: _compute_influence(o) * (np.arange(len(o)) % 4 > 0),
            "roc_auc moves by .* by its influence",
        ),
        (lambda o: np.sort(_compute_influence(o)), "roc_auc moves by .* by its influence"),
        (lambda o: _compute_influence(o)[:-1], r"its influence returned the shape \(399,\) for 400 rows"),
        (lambda o: _compute_influence(o) * np.nan, "roc_auc moves by .* but by nan by its influence"),
    ],
    ids=["divided", "zero", "a-quarter-zero", "sorted", "a-row-less", "nan"],
)
def test_influence_that_is_not_of_the_statistic_is_refused(
    wrong: Callable[[Any], Floats], message: str
) -> None:
    """Divided by the rows, they gave an interval of almost no width, and any drop below the budget passed."""
    rows = _make_scored_rows(150, 250)
    with pytest.raises(MeasureError, match=message):
        judge_quality(replace(ROC_AUC, influence=wrong), rows, rows, [QualityBudget("drop_points", 2.0)])


NEGATED = replace(ROC_AUC, influence=lambda outcomes: -_compute_influence(outcomes))


@pytest.mark.parametrize("sizes", [(1, 30), (2, 2), (2, 400), (3, 5), (200, 200)], ids=str)
def test_influence_of_delong_is_taken_for_any_number_of_rows(sizes: tuple[int, int]) -> None:
    rows = _make_scored_rows(*sizes)
    value = compute_value(ROC_AUC, rows)
    check_same_value(ROC_AUC, rows, value)
    with pytest.raises(MeasureError, match=r"roc_auc moves by .* by its influence"):
        check_same_value(NEGATED, rows, value)


def test_influence_of_delong_is_zero_for_a_row_of_each_class() -> None:
    """The value then depends on no weight."""
    rows = _make_scored_rows(1, 1)
    assert not _compute_influence(rows).any()
    check_same_value(ROC_AUC, rows, compute_value(ROC_AUC, rows))


@pytest.mark.parametrize("rows", [2, 3])
def test_influence_of_delong_is_taken_for_classes_of_few_rows(rows: int) -> None:
    """With 4 weightings, up to 6 % of such samples were refused as if the influence were wrong."""
    labels = np.repeat(np.arange(10), rows)
    names = tuple(f"c{k}" for k in range(10))
    refused = 0
    for seed in range(80):
        scores = np.exp(1.5 * np.random.default_rng(seed).normal(3 * np.eye(10)[labels]))
        scores /= scores.sum(axis=1, keepdims=True)
        outcomes = ClassOutcomes(
            np.arange(len(labels)).astype(np.str_), labels, scores.argmax(axis=1), names, scores
        )
        value = compute_value(ROC_AUC, outcomes)
        check_same_value(ROC_AUC, outcomes, value)
        if _compute_influence(outcomes).any():  # else the value is 1 whatever the weights
            refused += 1
            with pytest.raises(MeasureError, match=r"roc_auc moves by .* by its influence"):
                check_same_value(NEGATED, outcomes, value)
    assert refused >= 40


def _make_valued_rows(**values: Floats) -> Outcomes:
    count = len(next(iter(values.values())))
    return Outcomes(np.arange(count).astype(np.str_), values=values)


def test_documents_that_are_not_of_the_statistic_are_refused() -> None:
    rng = np.random.default_rng(5)
    rows = _make_valued_rows(nats=rng.uniform(50, 90, 60), tokens=rng.integers(20, 40, 60).astype(np.float64))
    perplexity = load_metric("perplexity")
    of = perplexity.documents.of if perplexity.documents else None
    assert of is not None
    check_same_value(perplexity, rows, compute_value(perplexity, rows))
    for documents in (
        Documents(lambda outcomes: (of(outcomes)[0] / 2, of(outcomes)[1])),
        Documents(lambda outcomes: (of(outcomes)[0][::-1], of(outcomes)[1])),
    ):
        metric = replace(perplexity, documents=documents)
        with pytest.raises(MeasureError, match=r"by its statistic, but .* by its documents"):
            check_same_value(metric, rows, compute_value(metric, rows))


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_pairs_that_are_not_of_the_correlation_are_refused(kind: Any) -> None:
    rng = np.random.default_rng(6)
    gold = rng.normal(0, 1, 80)
    rows = _make_valued_rows(gold=gold, score=np.round(gold + rng.normal(0, 1, 80), 1))
    metric = load_metric(kind)
    check_same_value(metric, rows, compute_value(metric, rows))
    of_gold = Correlated(kind, lambda outcomes: (outcomes.column("gold"), outcomes.column("gold")))
    with pytest.raises(MeasureError, match=f"{kind} is .* by its statistic, but 1 by its correlated"):
        check_same_value(replace(metric, correlated=of_gold), rows, compute_value(metric, rows))
