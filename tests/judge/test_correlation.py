"""Per-query means and correlations against scipy and by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.versions import needs

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge import QualityBudget, QualityJudgement, Verdict, judge_quality
from slimgate.judge.correlation import NO_PASS, Correlation, add_extreme_pairs, judge_correlation
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import Metric, mean_of, statistic_of_sums
from slimgate.outcomes import Floats, Outcomes

SUMS = replace(
    mean_of(lambda outcomes: outcomes.column("score")),
    extremes=lambda _outcomes: np.array([[1.0, 1.0], [0.0, 1.0]]),
)
MRR = Metric("mrr", True, (0.0, 1.0), "score", statistic_of_sums(SUMS), row_sums=SUMS)


def judge_means(before: Floats, after: Floats, budgets: list[QualityBudget]) -> QualityJudgement:
    ids = np.arange(len(before)).astype(np.str_)
    return judge_quality(MRR, *(Outcomes(ids, values={"score": ranks}) for ranks in (before, after)), budgets)


def reciprocal_ranks(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """1 / rank of the teacher, and of a variant that moves a third of the ranks."""
    before = rng.geometric(0.6, n)
    after = np.maximum(1, before + rng.integers(-1, 3, n) * (rng.random(n) < 0.3))
    return 1 / before, 1 / after


def scored_pairs(rng: np.random.Generator, n: int, noise: float = 0.3) -> tuple[Floats, Floats, Floats]:
    """People's scores in fifths, a teacher's, and a variant's with more noise."""
    gold = rng.integers(0, 26, n) / 5
    teacher = gold + rng.normal(0, 1.2, n)
    return gold, teacher, teacher + rng.normal(0, noise, n)


def bootstrapped(columns: tuple[Floats, ...], statistic: Callable[..., Any]) -> tuple[float, float]:
    interval = stats.bootstrap(
        columns, statistic, paired=True, vectorized=False, n_resamples=3000, confidence_level=0.9,
        method="BCa", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    return float(interval.low), float(interval.high)


@needs("scipy>=1.15")
def test_the_interval_of_a_mean_holds_scipys() -> None:
    """The made-up row that lost everything moves the upper bound out by about 1 / n."""
    before, after = reciprocal_ranks(np.random.default_rng(0), 1500)
    judged = judge_means(before, after, [QualityBudget("drop_points", 50.0)])
    low, high = bootstrapped((before - after,), np.mean)
    assert judged.interval is not None
    assert judged.interval[0] / 100 == pytest.approx(low - 0.75 / 1500, abs=1.0 / 1500)
    assert judged.interval[1] / 100 == pytest.approx(high + 0.75 / 1500, abs=1.0 / 1500)
    assert (judged.teacher, judged.value) == pytest.approx((before.mean(), after.mean()))
    assert (judged.n, judged.method, judged.verdict) == (1500, "paired random weights", Verdict.PASS)


@pytest.mark.parametrize(
    ("kind", "limit", "verdict"),
    [
        ("drop_points", 1.0, Verdict.FAIL),
        ("drop_relative", 0.5, Verdict.PASS),
        ("floor", 0.4, Verdict.PASS),
        ("floor", 0.9, Verdict.FAIL),
    ],
)
def test_every_kind_of_budget_is_judged(kind: Any, limit: float, verdict: Verdict) -> None:
    pair = reciprocal_ranks(np.random.default_rng(0), 1500)
    assert judge_means(*pair, [QualityBudget(kind, limit)]).verdict is verdict


def test_an_equal_model_passes_on_many_queries_and_not_on_20() -> None:
    before, _ = reciprocal_ranks(np.random.default_rng(0), 2000)
    budgets = [QualityBudget("drop_points", 1.0)]
    assert judge_means(before, before, budgets).verdict is Verdict.PASS
    judged = judge_means(before[:20], before[:20], budgets)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.warnings == ("20 rows, under 50",)


def test_a_budget_that_does_not_suit_is_refused() -> None:
    pair = reciprocal_ranks(np.random.default_rng(0), 30)
    with pytest.raises(SuiteError, match="ceiling does not suit mrr"):
        judge_means(*pair, [QualityBudget("ceiling", 0.5)])


@needs("scipy>=1.15")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_a_correlation_is_scipys_and_holds_its_interval(kind: Correlation) -> None:
    gold, teacher, variant = scored_pairs(np.random.default_rng(0), 300, noise=0.8)
    of = stats.pearsonr if kind == "pearson" else stats.spearmanr
    judged = judge_correlation(kind, gold, teacher, variant, [])
    assert judged.teacher == pytest.approx(of(gold, teacher).statistic, abs=1e-12)
    assert judged.value == pytest.approx(of(gold, variant).statistic, abs=1e-12)

    def drop(people: Floats, before: Floats, after: Floats) -> float:
        return float(of(people, before).statistic - of(people, after).statistic)

    low, _ = bootstrapped((gold, teacher, variant), drop)
    assert judged.interval is not None
    # the lower bound also has a made-up pair that the variant alone gets right
    assert 100 * low - 10.0 < judged.interval[0] < 100 * low


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_a_drop_of_the_margin_by_one_pair_in_100_seldom_passes(kind: Correlation) -> None:
    """Of 200 pairs 13 % of the samples hold no pair that is turned round, and without made-up ones pass."""
    passed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        gold = rng.normal(size=200)
        teacher = gold + 0.5 * rng.normal(size=200)
        variant = np.where(rng.random(200) < 0.01, -teacher, teacher)
        # 0.894 or 0.887 in all pairs, less twice 1 %
        budget = QualityBudget("drop_points", 1.77)
        judged = judge_correlation(kind, gold, teacher, variant, [budget], resamples=300)
        passed += judged.verdict is Verdict.PASS
    assert passed <= 0.06 * 60


def test_spearman_of_a_rising_transform_is_the_same() -> None:
    gold, teacher, variant = scored_pairs(np.random.default_rng(0), 200)
    plain = judge_correlation("spearman", gold, teacher, variant, [], resamples=300)
    bent = judge_correlation("spearman", gold, np.exp(teacher), variant**3, [], resamples=300)
    assert bent.interval == pytest.approx(plain.interval)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_a_correlation_has_three_verdicts_if_scores_have_ends(kind: Correlation) -> None:
    rng = np.random.default_rng(0)
    verdicts = [
        judge_correlation(
            kind, *scored_pairs(rng, 1400, noise), [QualityBudget("drop_points", 2.0)], resamples=1000
        ).verdict
        for noise in (0.05, 0.42, 1.5)
    ]
    first = Verdict.PASS if kind == "spearman" else Verdict.INCONCLUSIVE
    assert verdicts == [first, Verdict.INCONCLUSIVE, Verdict.FAIL]


def test_pearson_names_the_correlation_that_can_pass() -> None:
    gold, teacher, _ = scored_pairs(np.random.default_rng(0), 300)
    judged = judge_correlation("pearson", gold, teacher, teacher, [QualityBudget("drop_points", 5.0)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.warnings == (NO_PASS,)
    assert "spearman" in NO_PASS
    assert (judged.n_needed, judged.withheld) == (None, NO_PASS)
    assert format_message("int8", judged).endswith(f"INCONCLUSIVE, {NO_PASS}")


def test_pearson_of_a_weak_teacher_gives_no_pass() -> None:
    """The interval of a correlation near 0 ends below the budget, but not what one answer can cost."""
    rng = np.random.default_rng(1)
    gold = rng.normal(size=2000)
    teacher = 0.1 * gold + rng.normal(size=2000)
    judged = judge_correlation("pearson", gold, teacher, teacher, [QualityBudget("drop_points", 30.0)])
    assert judged.interval is not None
    assert judged.interval[1] < 30
    assert judged.verdict is Verdict.INCONCLUSIVE


def test_a_correlation_keeps_the_name_of_its_metric() -> None:
    gold, teacher, variant = scored_pairs(np.random.default_rng(0), 60)
    ids = np.arange(60).astype(np.str_)
    sides = [Outcomes(ids, values={"gold": gold, "score": scores}) for scores in (teacher, variant)]
    metric = replace(load_metric("spearman"), name="mine")
    assert judge_quality(metric, *sides, [], resamples=50).metric == "mine"


@pytest.mark.slow
def test_spearman_has_room_for_pairs_turned_upside_down() -> None:
    """0.5 % of 300 pairs are turned round: 22 % of the samples have none of them."""
    rng, runs, passed = np.random.default_rng(1), 200, 0
    gold = np.random.default_rng(0).normal(size=400_000)
    teacher = gold + 0.5 * np.random.default_rng(2).normal(size=400_000)
    turned = np.where(np.random.default_rng(3).random(400_000) < 0.005, -teacher, teacher)
    true = 100 * float(stats.spearmanr(gold, teacher)[0] - stats.spearmanr(gold, turned)[0])
    for seed in range(runs):
        gold = rng.normal(size=300)
        teacher = gold + 0.5 * rng.normal(size=300)
        variant = np.where(rng.random(300) < 0.005, -teacher, teacher)
        budgets = [QualityBudget("drop_points", true)]
        judged = judge_correlation("spearman", gold, teacher, variant, budgets, seed=seed, resamples=500)
        passed += judged.verdict is Verdict.PASS
    assert passed / runs <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_a_fall_by_the_margin_passes_in_at_most_6_percent(kind: Correlation) -> None:
    of = stats.pearsonr if kind == "pearson" else stats.spearmanr
    gold, teacher, variant = scored_pairs(np.random.default_rng(9), 400_000, 0.6)
    true = 100 * float(of(gold, teacher).statistic - of(gold, variant).statistic)
    rng, runs, passed = np.random.default_rng(10), 300, 0
    for seed in range(runs):
        budgets = [QualityBudget("drop_points", true)]
        judged = judge_correlation(kind, *scored_pairs(rng, 250, 0.6), budgets, seed=seed, resamples=500)
        passed += judged.verdict is Verdict.PASS
    assert passed / runs <= 0.06 + 0.027


def test_equal_scores_have_no_correlation() -> None:
    gold, teacher, _ = scored_pairs(np.random.default_rng(0), 50)
    with pytest.raises(MeasureError, match="all scores of variant are 1, so there is no correlation"):
        judge_correlation("pearson", gold, teacher, np.ones(50), [])


def test_many_pairs_give_fishers_interval_of_a_correlation() -> None:
    """6,000 pairs are more than are held in memory at a time; the variant's own bounds are Fisher's."""
    rng = np.random.default_rng(5)
    gold = rng.normal(size=6000)
    teacher, variant = (gold + rng.normal(0, spread, 6000) for spread in (0.3, 1.0))
    floor = QualityBudget("floor", 0.5)
    judged = judge_correlation("spearman", gold, teacher, variant, [floor], resamples=300)
    assert judged.method == "paired random weights"
    r = judged.value
    bounds = np.tanh(np.arctanh(r) + np.array([-1, 1]) * 1.6449 / 6000**0.5)
    assert judged.budgets[0].interval == pytest.approx(tuple(bounds), abs=0.004)


def test_a_correlation_of_groups_says_so() -> None:
    rng = np.random.default_rng(6)
    gold = rng.normal(size=200)
    scores = [gold + rng.normal(0, 0.5, 200) for _ in range(2)]
    judged = judge_correlation("pearson", gold, *scores, [], groups=np.arange(200) // 4, resamples=200)
    assert (judged.method, judged.groups) == ("paired random weights, grouped", 50)


def test_the_made_up_pairs_of_ranks_go_from_one_end_to_the_other() -> None:
    gold, scores = np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3])
    (more_gold, before, after), groups = add_extreme_pairs((gold, scores, scores), None, has_ends=True)
    assert more_gold.tolist() == [1, 2, 3, 4, 0, 0]
    assert before.tolist() == [2, 1, 4, 3, 0, 5]
    assert after.tolist() == [2, 1, 4, 3, 5, 0]
    assert groups is None


def test_the_made_up_pair_of_scores_without_ends_is_far_off() -> None:
    gold, scores = np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3])
    columns, groups = add_extreme_pairs((gold, scores, scores), np.array([0, 0, 1, 1]), has_ends=False)
    assert columns[1][4:].tolist() == [1, 1, 4, 4]
    assert (columns[2][4:6] > 1e5).all()
    assert columns[2][6:].tolist() == [1, 1]
    assert groups is not None
    assert groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_few_pairs_are_a_warning() -> None:
    gold = np.random.default_rng(7).normal(size=40)
    judged = judge_correlation("pearson", gold[:20], gold[:20] ** 3, gold[:20] ** 3, [], resamples=100)
    assert len(judged.warnings) == 1
    assert judged.warnings[0].startswith("20 rows, under ")


@pytest.mark.parametrize("column", ["gold", "teacher", "variant"])
def test_the_column_of_a_score_that_is_no_number_is_named(column: str) -> None:
    columns = {name: np.arange(10.0) for name in ("gold", "teacher", "variant")}
    columns[column][3] = np.nan
    with pytest.raises(MeasureError, match=f"pearson: row 3 of {column} has a score of nan"):
        judge_correlation("pearson", **columns, budgets=[])


def test_small_scores_of_a_wide_range_are_no_ties() -> None:
    """Subtracting the mean would round the likelihoods of most pairs to the same number."""
    rng = np.random.default_rng(0)
    gold = rng.normal(size=300)
    teacher, variant = (np.exp(20 * (gold + rng.normal(0, noise, 300))) for noise in (0.3, 0.6))
    judged = judge_correlation("spearman", gold, teacher, variant, [QualityBudget("drop_points", 20.0)])
    assert judged.teacher == pytest.approx(stats.spearmanr(gold, teacher).statistic)
    assert judged.value == pytest.approx(stats.spearmanr(gold, variant).statistic)


def test_the_interval_does_not_depend_on_the_numbers_of_groups() -> None:
    rng = np.random.default_rng(1)
    gold, teacher, variant = scored_pairs(rng, 200)
    groups = np.repeat(np.arange(40), 5)
    budgets = [QualityBudget("drop_points", 20.0)]
    large = groups + np.iinfo(np.int64).max - 39
    intervals = [
        judge_correlation("spearman", gold, teacher, variant, budgets, groups=numbers).interval
        for numbers in (groups, large)
    ]
    assert intervals[0] == intervals[1]
