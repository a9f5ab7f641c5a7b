from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from math import inf, nan

import numpy as np
import pytest

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge import QualityBudget, QualityJudgement, Verdict, find_worst_verdict, judge_quality
from slimgate.judge.evidence import ChangedRows
from slimgate.judge.metrics import Metric, load_metric
from slimgate.judge.paired import compute_tango_z
from slimgate.judge.verdict import find_most_rows
from slimgate.outcomes import ClassOutcomes
from slimgate.results.base import BudgetFacts

MakePair = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]
ACCURACY = load_metric("accuracy")
RESAMPLED = [
    "balanced_accuracy",
    "precision",
    "recall",
    "f1_macro",
    "mcc",
    "log_loss",
    "brier",
    "roc_auc",
    "pr_auc",
]


def judged(
    pair: tuple[ClassOutcomes, ClassOutcomes], *limits: float, metric: Metric = ACCURACY, seed: int = 0
) -> QualityJudgement:
    return judge_quality(metric, *pair, [QualityBudget("drop_points", limit) for limit in limits], seed=seed)


def test_a_judgement_holds_what_was_counted(counted: MakePair) -> None:
    judgement = judged(counted(872, 32, 8, both_wrong=70), 1.0)
    assert judgement.teacher == pytest.approx(794 / 872)
    assert judgement.value == pytest.approx(770 / 872)
    assert judgement.drop_points == pytest.approx(2400 / 872)
    assert judgement.interval == pytest.approx((1.525, 4.040), abs=0.001)
    assert (judgement.n, judgement.level, judgement.method) == (872, 0.9, "Tango")
    assert judgement.changed == ChangedRows(right_to_wrong=32, wrong_to_right=8)
    assert (judgement.verdict, judgement.band) == (Verdict.FAIL, "depends on the use")
    assert asdict(judgement)["changed"] == {"right_to_wrong": 32, "wrong_to_right": 8}


@pytest.mark.parametrize(
    ("b", "c", "verdict"),
    [
        pytest.param(10, 12, Verdict.PASS, id="a gain"),
        pytest.param(25, 12, Verdict.INCONCLUSIVE, id="a drop near the budget"),
        pytest.param(60, 12, Verdict.FAIL, id="a drop past it"),
    ],
)
def test_three_verdicts(counted: MakePair, b: int, c: int, verdict: Verdict) -> None:
    assert judged(counted(872, b, c), 2.0).verdict is verdict


@pytest.mark.parametrize("name", ["accuracy", "f1_macro"])
@pytest.mark.parametrize("b", [4, 8, 12, 16, 20, 24, 30, 40])
def test_the_interval_agrees_with_the_verdict(counted: MakePair, name: str, b: int) -> None:
    judgement = judged(counted(872, b, 5), 2.0, metric=load_metric(name))
    low, high = judgement.interval
    expected = Verdict.PASS if high < 2 else Verdict.FAIL if low > 2 else Verdict.INCONCLUSIVE
    assert judgement.verdict is expected


def test_all_budgets_must_pass_and_the_worst_is_the_verdict(counted: MakePair) -> None:
    judgement = judged(counted(872, 32, 8), 8.0, 3.0, 1.0)
    assert [budget.verdict for budget in judgement.budgets] == [
        Verdict.PASS,
        Verdict.INCONCLUSIVE,
        Verdict.FAIL,
    ]
    assert judgement.verdict is Verdict.FAIL
    assert find_worst_verdict([Verdict.PASS, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE


def test_without_a_budget_there_is_no_verdict(counted: MakePair) -> None:
    judgement = judged(counted(100, 3, 1))
    assert (judgement.verdict, judgement.budgets, judgement.n_needed) == (None, (), None)


def test_an_inconclusive_budget_says_the_rows_it_takes(counted: MakePair) -> None:
    judgement = judged(counted(872, 14, 11), 1.0)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.n_needed is not None
    # of samples of that size, with as many changes to a row, four of five pass
    rng, n = np.random.default_rng(0), judgement.n_needed
    changes = rng.multinomial(n, [14 / 872, 11 / 872, 847 / 872], 4000)
    passed = np.mean([compute_tango_z(b, c, n, 0.01) <= -1.6449 for b, c, _ in changes])
    assert passed == pytest.approx(0.8, abs=0.03)


def test_a_drop_equal_to_its_budget_takes_rows_without_end(counted: MakePair) -> None:
    judgement = judged(counted(100, 3, 1), 2.0)
    assert (judgement.verdict, judgement.n_needed) == (Verdict.INCONCLUSIVE, None)


def test_a_loss_that_grows_is_a_drop(counted: MakePair) -> None:
    judgement = judged(counted(8720, 400, 0), 2.0, metric=load_metric("log_loss"))
    assert judgement.value > judgement.teacher
    assert judgement.drop_points == pytest.approx(100 * (judgement.value - judgement.teacher))
    assert judgement.verdict is Verdict.FAIL


def test_a_0_1_metric_where_less_is_better_counts_the_other_way(counted: MakePair) -> None:
    assert ACCURACY.per_row is not None
    right = ACCURACY.per_row
    error = replace(
        ACCURACY,
        name="error",
        higher_is_better=False,
        statistic=lambda outcomes, weights: 1 - ACCURACY.statistic(outcomes, weights),
        per_row=lambda outcomes: 1 - right(outcomes),
        from_confusion=None,
    )
    pair = counted(872, 32, 8)
    ours, theirs = judged(pair, 2.0, metric=error), judged(pair, 2.0)
    assert (ours.changed, ours.interval) == (theirs.changed, theirs.interval)
    assert ours.drop_points == pytest.approx(theirs.drop_points)


@pytest.mark.parametrize("name", RESAMPLED)
def test_an_equal_model_passes_on_6000_rows_and_not_on_20(counted: MakePair, name: str) -> None:
    metric = load_metric(name)
    judgement = judged(counted(6000, both_wrong=600), 1.0, metric=metric)
    assert judgement.verdict is Verdict.PASS
    assert judgement.interval[0] < 0 < judgement.interval[1]
    assert judged(counted(20, both_wrong=2), 2.0, metric=metric).verdict is Verdict.INCONCLUSIVE


def test_a_nearly_equal_model_passes_on_6000_rows(counted: MakePair) -> None:
    judgement = judged(counted(6000, 12, 9, both_wrong=600, classes=4), 1.0, metric=load_metric("f1_macro"))
    assert judgement.verdict is Verdict.PASS


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "log_loss"])
def test_a_handful_of_rows_decides_nothing(counted: MakePair, name: str, n: int) -> None:
    assert judged(counted(n), 5.0, metric=load_metric(name)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "mcc", "roc_auc", "log_loss"])
def test_a_variant_that_gets_every_row_wrong_fails(counted: MakePair, name: str) -> None:
    assert judged(counted(200, 200), 2.0, metric=load_metric(name)).verdict is Verdict.FAIL


def test_grouped_rows_are_judged_by_groups(counted: MakePair) -> None:
    groups = np.arange(872) // 8
    judgement = judged(counted(872, 32, 8, groups=groups), 1.0)
    alone = judged(counted(872, 32, 8), 1.0)
    assert (judgement.method, judgement.groups) == ("Gaffke's bound, grouped", 109)
    assert judgement.design_effect is not None
    # whole groups of 8 changed together
    assert 6 < judgement.design_effect < 9
    assert judgement.interval[1] - judgement.interval[0] > 2 * (alone.interval[1] - alone.interval[0])


def test_groups_of_one_row_each_are_no_groups(counted: MakePair) -> None:
    judgement = judged(counted(100, 3, 1, groups=np.arange(100)), 2.0)
    assert (judgement.method, judgement.groups, judgement.design_effect) == ("Tango", None, None)


def test_groups_known_to_one_model_only_hold_for_both(counted: MakePair) -> None:
    teacher, variant = counted(100, 3, 1, groups=np.arange(100) // 2)
    judgement = judged((teacher, replace(variant, groups=None)), 2.0, metric=load_metric("f1"))
    assert (judgement.method, judgement.groups) == ("paired random weights, grouped", 50)


def test_different_groups_are_an_error(counted: MakePair) -> None:
    teacher, variant = counted(100, groups=np.arange(100) // 2)
    with pytest.raises(MeasureError, match="different groups"):
        judged((teacher, replace(variant, groups=np.arange(100) // 4)), 2.0)


def test_a_small_class_is_warned_of_where_classes_count(counted: MakePair) -> None:
    pair = counted(98, 2, 1)
    assert judged(pair, 2.0, metric=load_metric("f1_macro")).warnings == (
        "2 classes have under 50 gate rows, fewest c0 with 49",
    )
    assert judged(pair, 2.0).warnings == ()
    odd = counted(99, 2, 1)
    assert judged(odd, 2.0, metric=load_metric("f1_macro")).warnings == (
        "class c1 has 49 gate rows, under 50",
    )


def test_a_class_of_one_row_is_small_and_an_empty_one_is_none() -> None:
    labels = np.r_[np.zeros(60, np.int64), np.array([1])]
    names = ("c0", "c1", "c2")
    pair = [ClassOutcomes(np.arange(61).astype(np.str_), labels, labels, names) for _ in range(2)]
    warnings = judge_quality(load_metric("f1_macro"), *pair, []).warnings
    assert warnings == (
        "class c1 has 1 gate rows, under 50",
        "rows that teacher and variant have right: c1 1 and 1 of 1",
    )


def test_few_groups_are_warned_of(counted: MakePair) -> None:
    judgement = judged(counted(100, 2, 1, groups=np.arange(100) // 10), 2.0)
    assert judgement.warnings == ("the gate rows come in 10 groups, under 30",)


def test_a_group_larger_than_the_budget_is_warned_of(counted: MakePair) -> None:
    """Nobody sees by the count of groups that one of them has a third of the rows."""
    groups = np.r_[np.zeros(50, np.int64), np.arange(1, 101)]
    [warning] = judged(counted(150, 2, 1, groups=groups), 2.0).warnings
    assert warning.startswith("the largest of 101 groups has 33 % of the rows; if another group of this size")
    assert "that alone may be more than 2 points" in warning
    assert judged(counted(150, 2, 1, groups=groups), 40.0).warnings == ()


@pytest.mark.parametrize("limit", [0.0, -1.0, nan, inf])
def test_a_budget_that_is_no_number_above_zero_is_an_error(counted: MakePair, limit: float) -> None:
    with pytest.raises(SuiteError, match="expected a finite number above 0"):
        judged(counted(100), limit)


@pytest.mark.parametrize("value", [nan, inf])
def test_a_metric_that_is_not_finite_is_an_error_and_no_pass(counted: MakePair, value: float) -> None:
    broken = replace(load_metric("log_loss"), statistic=lambda _, weights: np.full(weights.shape[:-1], value))
    with pytest.raises(MeasureError):
        judged(counted(100), 2.0, metric=broken)


def test_no_rows_are_an_error(counted: MakePair) -> None:
    with pytest.raises(MeasureError, match="no gate rows"):
        judged(counted(0), 2.0)


def test_rows_that_are_not_paired_are_an_error(counted: MakePair) -> None:
    with pytest.raises(MeasureError, match="not paired"):
        judged((counted(100)[0], counted(99)[1]), 2.0)


def test_as_many_rows_with_other_ids_are_not_paired(counted: MakePair) -> None:
    """Labels in turn: rows 0 and 2 have one label, so only the ids say that the rows are other ones."""
    teacher, variant = counted(100, 4, 2)
    moved = variant.take(np.array([2, 1, 0, *range(3, 100)]))
    assert np.array_equal(moved.labels, teacher.labels)
    for other in (moved, replace(variant, ids=np.char.add(variant.ids, "x"))):
        with pytest.raises(MeasureError, match="not paired: 100 teacher rows and 100 variant rows"):
            judged((teacher, other), 2.0)


def test_rows_are_promised_only_where_they_decide_every_budget() -> None:
    decided = BudgetFacts(kind="drop_points", limit=1.0, verdict=Verdict.PASS)
    some = BudgetFacts(kind="drop_points", limit=0.5, verdict=Verdict.INCONCLUSIVE, n_needed=4000)
    more = BudgetFacts(kind="floor", limit=0.9, verdict=Verdict.INCONCLUSIVE, n_needed=9000)
    never = BudgetFacts(kind="floor", limit=0.9, verdict=Verdict.INCONCLUSIVE)
    assert find_most_rows([decided]) is None
    assert find_most_rows([decided, some, more]) == 9000
    assert find_most_rows([some, never]) is None
    assert find_most_rows([some, replace(more, needs_both=True)]) is None  # rows alone would not decide
