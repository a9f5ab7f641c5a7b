"""slimgate.selftest: the copy changes nothing; a planted fault is as large as it says and never passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_suite import tiny_run

from slimgate.judge.budget_kinds import BudgetKind, QualityBudget, allowed_drop
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import Verdict
from slimgate.metrics import load_metric
from slimgate.outcomes import ClassOutcomes
from slimgate.selftest import default_budget, identical_copy, judge_fault, plant_fault

torch.set_num_threads(1)
METRICS = [
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_micro",
    "mcc",
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
]

BUDGET = default_budget(load_metric("accuracy"))


def outcomes_of(rows: int, *, classes: int = 2, accuracy: float = 0.9, seed: int = 0) -> ClassOutcomes:
    """Rows of a teacher that is right on this share of them, with probabilities that say so."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    wrong = rng.permutation(rows) >= round(accuracy * rows)
    predictions = np.where(wrong, (labels + 1) % classes, labels)
    scores = rng.uniform(0, 1, (rows, classes))
    scores[np.arange(rows), predictions] += 1.0
    return ClassOutcomes(
        ids=np.arange(rows).astype(np.str_),
        labels=labels,
        predictions=predictions,
        classes=tuple(f"c{k}" for k in range(classes)),
        probabilities=scores / scores.sum(axis=1, keepdims=True),
    )


@pytest.mark.parametrize("gate", [60, 9])
def test_a_copy_of_the_teacher_has_no_flips(tmp_path: Path, gate: int) -> None:
    teacher = tiny_run(tmp_path, gate=gate).handle("teacher")
    stored, copy = identical_copy(teacher, seed=0)
    assert len(stored) == gate
    assert stored.ids.tolist() == copy.ids.tolist()
    assert stored.predictions.tolist() == copy.predictions.tolist()
    assert stored.probabilities is not None
    assert copy.probabilities is not None
    assert np.abs(stored.probabilities - copy.probabilities).max() < 1e-5
    judged = judge_quality(load_metric("accuracy"), stored, copy, [BUDGET], seed=0)
    assert judged.drop_points == 0
    assert judged.budgets[0].verdict is not Verdict.FAIL


def test_the_copy_predicts_only_some_500_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slimgate import selftest

    monkeypatch.setattr(selftest, "ROWS", 20)
    teacher = tiny_run(tmp_path).handle("teacher")
    stored, copy = identical_copy(teacher, seed=0)
    assert len(stored) == len(copy) == 20
    assert set(stored.ids.tolist()) < set(teacher.outcomes.ids.tolist())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 4])
def test_a_planted_fault_reaches_the_drop_and_hardly_more(metric: str, classes: int) -> None:
    outcomes = outcomes_of(2000, classes=classes)
    judged = load_metric(metric)
    ones = np.ones(2000)
    sign = 1 if judged.higher_is_better else -1
    damaged = plant_fault(outcomes, judged, 0.04, seed=0)
    drop = sign * float(judged.statistic(outcomes, ones) - judged.statistic(damaged, ones))
    assert 0.04 <= drop < 0.045
    assert damaged.ids.tolist() == outcomes.ids.tolist()
    assert damaged.labels.tolist() == outcomes.labels.tolist()
    assert damaged.probabilities is not None
    np.testing.assert_allclose(damaged.probabilities.sum(axis=1), 1.0)
    assert (damaged.probabilities.argmax(axis=1) == damaged.predictions).all()


def test_a_planted_fault_by_hand() -> None:
    """10 rows, 9 right: 0.2 lost are 2 rows, both right before."""
    outcomes = outcomes_of(10)
    damaged = plant_fault(outcomes, load_metric("accuracy"), 0.2, seed=0)
    changed = np.flatnonzero(damaged.predictions != outcomes.predictions)
    assert len(changed) == 2
    assert (outcomes.predictions[changed] == outcomes.labels[changed]).all()
    assert (damaged.predictions[changed] != outcomes.labels[changed]).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [12, 40, 200, 2000])
@pytest.mark.parametrize("limit", [0.5, 2.0, 10.0])
def test_a_planted_fault_never_passes(metric: str, rows: int, limit: float) -> None:
    budget = QualityBudget(kind="drop_points", limit=limit)
    judged = judge_fault(outcomes_of(rows), metric, budget, seed=0)
    assert judged.drop_points >= 2 * limit - 1e-9
    assert judged.budgets[0].verdict is not Verdict.PASS


@pytest.mark.parametrize(
    ("metric", "kind", "limit"),
    [
        ("accuracy", "drop_relative", 0.02),
        ("accuracy", "error_increase_relative", 0.1),
        ("accuracy", "floor", 0.85),
        ("f1_macro", "floor", 0.85),
        ("log_loss", "increase_relative", 0.1),
        ("log_loss", "ceiling", 0.7),
    ],
)
def test_a_planted_fault_takes_twice_what_any_kind_of_budget_allows(
    metric: str, kind: BudgetKind, limit: float
) -> None:
    outcomes, measured = outcomes_of(4000), load_metric(metric)
    budget = QualityBudget(kind, limit)
    teacher = float(measured.statistic(outcomes, np.ones(4000)))
    judged = judge_fault(outcomes, metric, budget, seed=0)
    assert judged.drop_points == pytest.approx(200 * allowed_drop(budget, teacher), rel=0.05)
    assert judged.budgets[0].verdict is Verdict.FAIL


def test_with_many_rows_a_planted_fault_fails() -> None:
    judged = judge_fault(outcomes_of(5000), "accuracy", BUDGET, seed=0)
    assert judged.budgets[0].verdict is Verdict.FAIL


def test_outcomes_without_probabilities_can_be_damaged() -> None:
    from dataclasses import replace

    damaged = plant_fault(replace(outcomes_of(50), probabilities=None), load_metric("accuracy"), 0.1, seed=0)
    assert damaged.probabilities is None
    assert int((damaged.predictions != outcomes_of(50).predictions).sum()) == 5
