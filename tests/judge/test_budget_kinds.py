"""Budgets beside drop_points: what suits which metric, and verdicts held against other calculations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from scipy.stats import binomtest
from support.versions import needs

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge import QualityBudget, QualityJudgement, Verdict, check_budget, judge_quality
from slimgate.judge.budget_kinds import list_suited_kinds
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes

pytestmark = pytest.mark.slow

MakePair = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]


def judged(
    name: str, pair: tuple[ClassOutcomes, ClassOutcomes], kind: str, limit: float, *, seed: int = 0
) -> QualityJudgement:
    return judge_quality(load_metric(name), *pair, [QualityBudget(kind, limit)], seed=seed)


def clopper_pearson(right: int, n: int) -> tuple[float, float]:
    interval = binomtest(right, n).proportion_ci(confidence_level=0.9, method="exact")
    return interval.low, interval.high


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        (
            "accuracy",
            ("drop_points", "equivalent_points", "drop_relative", "error_increase_relative", "floor"),
        ),
        (
            "roc_auc",
            ("drop_points", "equivalent_points", "drop_relative", "error_increase_relative", "floor"),
        ),
        ("mcc", ("drop_points", "equivalent_points", "drop_relative", "floor")),
        ("log_loss", ("drop_points", "equivalent_points", "increase_relative", "ceiling")),
    ],
)
def test_each_metric_takes_the_kinds_that_mean_something_for_it(name: str, kinds: tuple[str, ...]) -> None:
    assert list_suited_kinds(load_metric(name)) == kinds


@pytest.mark.parametrize(
    ("name", "kind", "limit", "message"),
    [
        (
            "log_loss",
            "floor",
            0.5,
            r"floor does not suit log_loss: .* higher is better; log_loss takes drop_po",
        ),
        (
            "ece",
            "ceiling",
            0.5,
            "ece is biased in a sample, so its drop cannot be judged; put the budget on brier or log_loss",
        ),
        ("ece", "drop_points", 2.0, "ece is biased in a sample, so its drop cannot be judged"),
        (
            "accuracy",
            "ceiling",
            0.5,
            r"ceiling does not suit accuracy: .* lower is better; accuracy takes dr",
        ),
        ("mcc", "error_increase_relative", 0.5, "does not suit mcc: .* so that 1 - value is an error rate"),
        ("accuracy", "drop_relative", 2.0, "drop_relative is 2, expected under 1: 0.02 allows a loss of 2 %"),
        ("accuracy", "drop_relative", 1.0, "drop_relative is 1, expected under 1: 0.02 allows a loss of 2 %"),
        ("accuracy", "floor", 80.0, "floor is 80, expected a value of accuracy, between 0 and 1"),
        ("accuracy", "floor", 1.0, "floor is 1, expected a value of accuracy"),
        ("log_loss", "increase_relative", 0.0, "increase_relative is 0.0, expected a finite number above 0"),
        ("log_loss", "ceiling", inf, "expected a finite number above 0"),
        ("accuracy", "error_increase_relative", nan, "expected a finite number above 0"),
        (
            "accuracy",
            "dorp_points",
            1.0,
            '"dorp_points" is not a kind of budget, expected one of drop_points, ',
        ),
    ],
)
def test_a_budget_that_cannot_be_judged_is_refused_without_rows(
    name: str, kind: str, limit: float, message: str
) -> None:
    with pytest.raises(SuiteError, match=message):
        check_budget(load_metric(name), QualityBudget(kind, limit))


@pytest.mark.parametrize(("kind", "limit"), [("drop_points", 1.0), ("floor", 0.8), ("drop_relative", 0.02)])
def test_a_sound_budget_is_let_pass(kind: str, limit: float) -> None:
    check_budget(load_metric("f1_macro"), QualityBudget(kind, limit))
    assert kind in list_suited_kinds(load_metric("f1_macro"))


def test_judging_refuses_what_check_budget_refuses(counted: MakePair) -> None:
    with pytest.raises(SuiteError, match="ceiling does not suit accuracy"):
        judged("accuracy", counted(100), "ceiling", 0.8)


@pytest.mark.parametrize(
    ("kind", "limit", "value"),
    [
        ("drop_points", 4.0, None),
        ("drop_relative", 0.05, 0.05),
        ("error_increase_relative", 0.2, 0.2),
    ],
)
def test_a_relative_budget_is_the_fraction_that_it_says(
    counted: MakePair, kind: str, limit: float, value: float | None
) -> None:
    # teacher 800 right, variant 760: 40 / 800 of its value, 40 / 200 of its errors
    pair = counted(1000, 60, 20, both_wrong=180)
    tight, wide = judged("accuracy", pair, kind, limit / 4), judged("accuracy", pair, kind, limit * 4)
    assert (tight.verdict, wide.verdict) == (Verdict.FAIL, Verdict.PASS)
    at_limit = judged("accuracy", pair, kind, limit)
    assert (at_limit.verdict, at_limit.n_needed) == (Verdict.INCONCLUSIVE, None)
    assert at_limit.budgets[0].value == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize("kind", ["drop_relative", "error_increase_relative"])
def test_the_interval_of_a_fraction_is_that_of_the_ratio(counted: MakePair, kind: str) -> None:
    """By the delta method for a ratio of means, which is close at 4,000 rows."""
    pair = counted(4000, 240, 80, both_wrong=720)
    teacher, variant = ((outcomes.predictions == outcomes.labels) * 1.0 for outcomes in pair)
    base = teacher if kind == "drop_relative" else 1 - teacher
    ratio = (teacher - variant).mean() / base.mean()
    spread = 1.6449 * ((teacher - variant) - ratio * base).std() / base.mean() / np.sqrt(4000)
    budget = judged("accuracy", pair, kind, 0.5).budgets[0]
    assert budget.value == pytest.approx(ratio)
    assert budget.interval == pytest.approx((ratio - spread, ratio + spread), abs=0.1 * spread)


@pytest.mark.parametrize("limit", np.linspace(0.02, 0.09, 8))
@pytest.mark.parametrize("name", ["accuracy", "f1_macro"])
def test_the_interval_of_a_fraction_agrees_with_its_verdict(
    counted: MakePair, name: str, limit: float
) -> None:
    budget = judged(name, counted(1000, 60, 20, both_wrong=180), "drop_relative", limit).budgets[0]
    assert budget.interval is not None
    low, high = budget.interval
    expected = Verdict.PASS if high < limit else Verdict.FAIL if low > limit else Verdict.INCONCLUSIVE
    assert budget.verdict is expected


def test_a_loss_may_grow_by_a_fraction_of_itself(counted: MakePair) -> None:
    pair = counted(20_000, 600, 200, both_wrong=1800)
    judgement = judged("log_loss", pair, "increase_relative", 1.0)
    budget = judgement.budgets[0]
    assert budget.value == pytest.approx(judgement.value / judgement.teacher - 1)
    assert budget.verdict is Verdict.PASS
    assert judged("log_loss", pair, "increase_relative", 0.01).verdict is Verdict.FAIL


def test_three_times_the_errors_of_a_nearly_perfect_model_fail(counted: MakePair) -> None:
    """99.5 -> 98.5: a point is little, and it triples the errors."""
    pair = counted(6000, 60, 0, both_wrong=30)
    assert judged("accuracy", pair, "drop_points", 2.0).verdict is Verdict.PASS
    failed = judged("accuracy", pair, "error_increase_relative", 0.5)
    assert failed.verdict is Verdict.FAIL
    assert failed.budgets[0].value == pytest.approx(2.0)


def test_a_perfect_teachers_errors_have_no_fraction(counted: MakePair) -> None:
    some = judged("accuracy", counted(1000, 30, 0), "error_increase_relative", 0.5)
    assert some.verdict is Verdict.FAIL
    assert (some.budgets[0].value, some.budgets[0].interval) == (None, None)
    assert judged("accuracy", counted(1000), "error_increase_relative", 0.5).verdict is Verdict.INCONCLUSIVE


def test_a_fraction_of_a_negative_value_is_an_error(counted: MakePair) -> None:
    with pytest.raises(MeasureError, match=r"fraction of the teacher's mcc, which is -0\.6: use drop_points"):
        judged("mcc", counted(100, 0, 0, both_wrong=80), "drop_relative", 0.02)


@pytest.mark.parametrize(
    ("right", "verdict"), [(840, Verdict.PASS), (810, Verdict.INCONCLUSIVE), (760, Verdict.FAIL)]
)
def test_a_floor_is_judged_by_the_variants_own_interval(
    counted: MakePair, right: int, verdict: Verdict
) -> None:
    judgement = judged("accuracy", counted(1000, both_wrong=1000 - right), "floor", 0.8)
    assert judgement.verdict is verdict
    assert judgement.budgets[0].value == right / 1000
    assert judgement.budgets[0].interval == pytest.approx(clopper_pearson(right, 1000), abs=1e-10)


def test_a_ceiling_is_the_reverse_of_a_floor(counted: MakePair) -> None:
    pair = counted(1000, both_wrong=180)
    verdicts = [judged("log_loss", pair, "ceiling", limit).verdict for limit in (0.40, 0.47, 0.55)]
    # the loss is 0.82 -ln(0.8) + 0.18 -ln(0.2) = 0.473
    assert verdicts == [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]


def test_the_floor_of_grouped_rows_has_fewer_rows_to_stand_on(counted: MakePair) -> None:
    """Groups of 10 rows that are right together: as 100 rows."""
    groups = np.arange(1000) // 10
    teacher, _ = counted(1000, groups=groups)
    wrong = np.isin(groups, np.arange(0, 100, 6))
    variant = replace(teacher, predictions=np.where(wrong, 1 - teacher.labels, teacher.labels))
    budget = judged("accuracy", (teacher, variant), "floor", 0.8).budgets[0]
    low, high = budget.interval
    assert (low, high) == pytest.approx(clopper_pearson(83, 100), abs=1e-9)
    assert budget.verdict is Verdict.INCONCLUSIVE


@needs("scipy>=1.15")
def test_a_resampled_floor_has_the_interval_of_its_bootstrap(drawn: MakePair) -> None:
    from scipy.stats import bootstrap

    teacher, variant = drawn(800, prior=[0.5, 0.5], lost=0.06, won=0.03)
    budget = judged("f1", (teacher, variant), "floor", 0.8).budgets[0]

    def f1(labels: object, predictions: object, axis: int = -1) -> object:
        hits = np.asarray(labels) * np.asarray(predictions)
        return 2 * hits.sum(axis=axis) / (np.asarray(labels) + np.asarray(predictions)).sum(axis=axis)

    theirs = bootstrap(
        (variant.labels, variant.predictions), f1, paired=True, vectorized=True, n_resamples=5000,
        confidence_level=0.9, method="BCa", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert budget.interval == pytest.approx((theirs.low, theirs.high), abs=0.08 * width)


def test_each_budget_has_its_own_verdict_and_rows(counted: MakePair) -> None:
    pair = counted(1000, 30, 20, both_wrong=170)
    budgets = [
        QualityBudget("drop_points", 2.0),
        QualityBudget("drop_relative", 0.02, reason="the release notes say so"),
        QualityBudget("floor", 0.6),
        QualityBudget("floor", 0.9),
    ]
    judgement = judge_quality(load_metric("accuracy"), *pair, budgets)
    # accuracy 0.81 -> 0.80
    verdicts = [budget.verdict for budget in judgement.budgets]
    assert verdicts == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.FAIL]
    assert [budget.n_needed is None for budget in judgement.budgets] == [False, False, True, True]
    assert judgement.budgets[1].reason == "the release notes say so"
    # (1.6449 + 0.8416)² × about 0.05 / (0.02 × 0.81 - 0.01)²
    assert judgement.budgets[1].n_needed == pytest.approx(6.18 * 0.05 / 0.0062**2, rel=0.1)
    assert judgement.n_needed == max(budget.n_needed or 0 for budget in judgement.budgets)


def test_rows_needed_for_a_fraction_do_tell(drawn: MakePair) -> None:
    """Of samples as large as said, about 80 % decide."""
    first = judged("accuracy", drawn(400, prior=[0.5, 0.5], lost=0.03, won=0.03), "drop_relative", 0.03)
    assert first.verdict is Verdict.INCONCLUSIVE
    rows = 1200  # 6.18 × 0.06 / (0.03 × 0.85)² = 571 for an equal model, twice that decides nearly always
    decided = [
        judged(
            "accuracy", drawn(rows, prior=[0.5, 0.5], lost=0.03, won=0.03, seed=seed), "drop_relative", 0.03
        ).verdict
        for seed in range(20)
    ]
    assert decided.count(Verdict.PASS) >= 17


@pytest.mark.parametrize(("kind", "limit"), [("drop_relative", 0.05), ("error_increase_relative", 0.225)])
def test_a_fraction_at_its_limit_passes_in_at_most_6_percent(kind: str, limit: float) -> None:
    """True accuracies 0.81818 and 0.77727: a relative drop of 5 %, 22.5 % more errors."""
    rng, n, runs, passed = np.random.default_rng(1), 600, 400, 0
    lost, won = 0.0609, 0.02
    teacher_right = (lost - won) / 0.05
    chances = [teacher_right - lost, lost, won, 1 - teacher_right - won]
    assert (lost - won) / (1 - teacher_right) == pytest.approx(0.225, abs=0.001)
    metric = load_metric("accuracy")
    for seed in range(runs):
        kinds = np.repeat(np.arange(4), rng.multinomial(n, chances))
        labels = np.arange(n) % 2
        before = np.where(kinds < 2, labels, 1 - labels)
        after = np.where(kinds % 2 == 0, labels, 1 - labels)
        pair = [ClassOutcomes(np.arange(n).astype(np.str_), labels, p, ("a", "b")) for p in (before, after)]
        budget = QualityBudget(kind, limit)
        passed += judge_quality(metric, *pair, [budget], seed=seed, resamples=1000).verdict is Verdict.PASS
    # 6 % and two standard errors of 400 runs
    assert passed / runs <= 0.06 + 0.024


def test_a_budget_that_nothing_can_break_is_refused() -> None:
    with pytest.raises(
        SuiteError, match="drop_points is 100, and accuracy cannot drop by more: the budget would"
    ):
        check_budget(load_metric("accuracy"), QualityBudget("drop_points", 100.0))
    check_budget(load_metric("accuracy"), QualityBudget("drop_points", 99.0))
    check_budget(load_metric("mcc"), QualityBudget("drop_points", 100.0))
    check_budget(load_metric("log_loss"), QualityBudget("drop_points", 100.0))
