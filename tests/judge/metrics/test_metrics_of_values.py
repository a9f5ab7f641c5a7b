"""What holds for every metric of outcomes without classes, and what each is by an independent library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import Metric, compute_value, list_known_metrics, load_metric
from slimgate.judge.over_runs import RunScores
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import Floats, Outcomes
from slimgate.results.base import Verdict
from slimgate.tasks import multi_label, text_regression, token_classification

LABELS = ("a", "b", "c")


def scores(rows: int, seed: int, *, perfect: bool = False) -> Outcomes:
    """Gold scores 0 to 5 with many ties, and answers with noise."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 6, rows).astype(np.float64)
    answers = gold if perfect else np.round(gold + rng.normal(0, 2, rows))
    return Outcomes(np.arange(rows).astype(np.str_), values={"gold": gold, "score": answers}, given=("gold",))


def spans(rows: int, seed: int, *, perfect: bool = False) -> Outcomes:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 4, rows).astype(np.float64)
    predicted = gold if perfect else rng.integers(0, 4, rows).astype(np.float64)
    tags = gold * 2 + rng.integers(1, 9, rows)
    right = tags if perfect else np.floor(tags * rng.random(rows))
    values = {
        "spans_gold": gold,
        "spans_predicted": predicted,
        "spans_right": gold if perfect else np.floor(np.minimum(gold, predicted) * rng.random(rows) + 0.5),
        "tags": tags,
        "tags_right": right,
        "right": (tags == right).astype(np.float64),
    }
    return Outcomes(np.arange(rows).astype(np.str_), values=values, given=("spans_gold", "tags"))


def label_sets(rows: int, seed: int, *, perfect: bool = False) -> Outcomes:
    rng = np.random.default_rng(seed)
    gold = (rng.random((rows, 3)) < (0.5, 0.2, 0.7)).astype(np.float64)
    answers = gold if perfect else np.where(rng.random((rows, 3)) < 0.3, 1 - gold, gold)
    columns = tuple(f"gold:{name}" for name in LABELS)
    return Outcomes(
        np.arange(rows).astype(np.str_), values=multi_label._make_values(LABELS, gold, answers), given=columns
    )


MAKERS: dict[str, tuple[Callable[..., Outcomes], Any]] = {
    "score": (scores, text_regression.task),
    "spans_right": (spans, token_classification.task),
    "tags_right": (spans, token_classification.task),
    "labels_wrong": (label_sets, multi_label.task),
}
OURS = [name for name in list_known_metrics() if load_metric(name).needs in MAKERS]


@pytest.fixture(params=OURS)
def metric(request: pytest.FixtureRequest) -> Metric:
    return load_metric(request.param)


@pytest.fixture
def outcomes(metric: Metric) -> Outcomes:
    return MAKERS[metric.needs][0](90, 0)


def test_permuting_the_rows_changes_nothing(metric: Metric, outcomes: Outcomes) -> None:
    shuffled = outcomes.take(np.random.default_rng(1).permutation(len(outcomes)))
    assert compute_value(metric, shuffled) == pytest.approx(compute_value(metric, outcomes), abs=1e-12)


def test_whole_weights_are_rows_repeated(metric: Metric, outcomes: Outcomes) -> None:
    weights = np.random.default_rng(2).integers(0, 4, len(outcomes))
    repeated = outcomes.take(np.repeat(np.arange(len(outcomes)), weights))
    statistic = metric.statistic(outcomes, weights.astype(np.float64))
    assert statistic == pytest.approx(compute_value(metric, repeated), abs=1e-12)


def test_many_lines_of_weights_give_what_each_gives_alone(metric: Metric, outcomes: Outcomes) -> None:
    lines = np.random.default_rng(3).integers(0, 3, (5, len(outcomes))).astype(np.float64)
    values = metric.statistic(outcomes, lines)
    assert values == pytest.approx([float(metric.statistic(outcomes, line)) for line in lines], abs=1e-12)
    assert metric.statistic(outcomes, 7 * lines) == pytest.approx(values, abs=1e-12)


def test_a_perfect_model_has_the_best_value_in_the_range(metric: Metric, outcomes: Outcomes) -> None:
    perfect = MAKERS[metric.needs][0](50, 4, perfect=True)
    best = metric.value_range[1] if metric.higher_is_better else metric.value_range[0]
    assert compute_value(metric, perfect) == pytest.approx(best, abs=1e-12)
    assert metric.value_range[0] <= compute_value(metric, outcomes) <= metric.value_range[1]


def test_no_rows_are_an_error(metric: Metric, outcomes: Outcomes) -> None:
    with pytest.raises(MeasureError, match="no rows"):
        metric.statistic(outcomes.take(np.array([], dtype=np.int64)), np.ones(0))


def test_a_copy_passes_and_spoiled_rows_fail(metric: Metric) -> None:
    make, task = MAKERS[metric.needs]
    teacher = make(400, 5)
    rows = np.random.default_rng(6).permutation(400)[:200]
    unbounded = metric.value_range[1] == np.inf
    kind: Any = "increase_relative" if unbounded else "drop_points"
    # of 400 rows none of which is above the cap, 0.75 % cannot be ruled out
    above = 0.01 if unbounded else None
    budget = QualityBudget(kind=kind, limit=0.1 if unbounded else 5.0, above_cap_max=above)
    judged = judge_quality(metric, teacher, teacher, [budget])
    # a few far-off answers can cost Pearson's correlation without limit
    assert judged.verdict is (Verdict.INCONCLUSIVE if metric.name == "pearson" else Verdict.PASS)
    assert judged.drop_points == 0
    assert (
        judge_quality(metric, teacher, task.with_planted_fault(teacher, rows), [budget]).verdict
        is Verdict.FAIL
    )


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_correlation_is_not_judged_over_several_runs(name: str) -> None:
    outcomes, runs = scores(20, 3), RunScores(np.zeros((2, 20)), np.ones((2, 20)))
    with pytest.raises(MeasureError, match=f"{name}: it is not a mean over rows"):
        judge_quality(load_metric(name), outcomes, outcomes, [], runs=runs)


def weighted_correlation(a: Floats, b: Floats, weights: Floats) -> float:
    return float(
        np.cov(a, b, aweights=weights)[0, 1] / np.sqrt(np.prod(np.diag(np.cov(a, b, aweights=weights))))
    )


def test_correlations_are_those_of_scipy() -> None:
    outcomes = scores(200, 7)
    gold, answers = outcomes.column("gold"), outcomes.column("score")
    assert compute_value(load_metric("pearson"), outcomes) == pytest.approx(
        stats.pearsonr(gold, answers)[0], abs=1e-12
    )
    assert compute_value(load_metric("spearman"), outcomes) == pytest.approx(
        stats.spearmanr(gold, answers)[0], abs=1e-12
    )
    weights = np.random.default_rng(8).random(200)
    weighted = weighted_correlation(gold, answers, weights)
    assert load_metric("pearson").statistic(outcomes, weights) == pytest.approx(weighted, abs=1e-12)


def test_a_model_that_always_says_the_same_has_correlation_zero() -> None:
    outcomes = Outcomes(
        np.array(["a", "b"]), values={"gold": np.array([1.0, 2.0]), "score": np.array([3.0, 3.0])}
    )
    assert compute_value(load_metric("pearson"), outcomes) == 0
    assert compute_value(load_metric("spearman"), outcomes) == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", sklearn.mean_squared_error),
        ("mae", sklearn.mean_absolute_error),
    ],
)
def test_errors_of_scores_are_scikit_learns(name: str, expected: Callable[..., float]) -> None:
    outcomes, weights = scores(120, 9), np.random.default_rng(0).random(120)
    value = expected(outcomes.column("gold"), outcomes.column("score"), sample_weight=weights)
    assert load_metric(name).statistic(outcomes, weights) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("labels_f1_micro", partial(sklearn.f1_score, average="micro", zero_division=0)),
        ("labels_f1_macro", partial(sklearn.f1_score, average="macro", zero_division=0)),
        ("subset_accuracy", sklearn.accuracy_score),
        ("hamming_loss", sklearn.hamming_loss),
    ],
)
def test_metrics_of_label_sets_are_scikit_learns(name: str, expected: Callable[..., float]) -> None:
    outcomes, weights = label_sets(120, 10), np.random.default_rng(0).random(120)
    gold, answers = (
        np.stack([outcomes.column(f"{of}:{c}") for c in LABELS], axis=1) for of in ("gold", "said")
    )
    value = expected(gold, answers, sample_weight=weights)
    assert load_metric(name).statistic(outcomes, weights) == pytest.approx(value, abs=1e-12)


def test_an_unused_label_counts_as_zero_in_the_macro_mean() -> None:
    gold, answers = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    outcomes = Outcomes(
        np.array(["a", "b"]),
        values=multi_label._make_values(("x", "y"), gold, answers),
        given=("gold:x", "gold:y"),
    )
    assert compute_value(load_metric("labels_f1_macro"), outcomes) == 0.5
    assert compute_value(load_metric("labels_f1_micro"), outcomes) == 1


def test_known_counts_of_spans_give_the_known_f1() -> None:
    # by hand: 3 right of 4 predicted and 6 gold: 0.75, 0.5, 2 * 3 / 10
    values = {
        "spans_right": np.array([1.0, 2.0]),
        "spans_predicted": np.array([2.0, 2.0]),
        "spans_gold": np.array([3.0, 3.0]),
    }
    outcomes = Outcomes(np.array(["a", "b"]), values=values)
    names = ("span_precision", "span_recall", "span_f1")
    assert [compute_value(load_metric(name), outcomes) for name in names] == [0.75, 0.5, 0.6]
    nothing = Outcomes(np.array(["a", "b"]), values={name: np.zeros(2) for name in values})
    assert [compute_value(load_metric(name), nothing) for name in names] == [0, 0, 0]
