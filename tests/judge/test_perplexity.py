"""Perplexity against a hand calculation, scipy's bootstrap and simulation."""

from __future__ import annotations

from math import exp, inf, log, nan

import numpy as np
import pytest

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge import QualityBudget, QualityJudgement, Verdict
from slimgate.judge.budget_kinds import BudgetKind
from slimgate.judge.perplexity import effective_documents, judge_perplexity
from slimgate.outcomes import Floats, Ints


def documents(rng: np.random.Generator, n: int, *, log_ratio: float = 0.0) -> tuple[Floats, Floats, Ints]:
    """Sums of nats of documents that differ in length, in difficulty, and in what the variant costs them."""
    tokens = np.maximum(1, rng.lognormal(5, 0.8, n)).astype(np.int64)
    level = rng.normal(3.0, 0.4, n)
    cost = log_ratio + rng.gamma(2.0, 0.02, n) - 0.04
    noise = rng.normal(0, 0.3, n) * np.sqrt(tokens)
    return level * tokens, (level + cost) * tokens + noise, tokens


def judged(
    columns: tuple[Floats, Floats, Ints], limit: float, kind: BudgetKind = "increase_relative"
) -> QualityJudgement:
    return judge_perplexity(*columns, [QualityBudget(kind, limit)], resamples=2000)


def test_values_are_perplexities_and_the_drop_is_percent() -> None:
    teacher, variant = np.array([30.0, 10.0] * 10), np.array([32.0, 11.0] * 10)
    tokens = np.array([10, 5] * 10)
    found = judged((teacher, variant, tokens), 0.5)
    assert found.teacher == pytest.approx(exp(40 / 15))
    assert found.value == pytest.approx(exp(43 / 15))
    # the log ratio is 3 / 15
    assert found.drop_points == pytest.approx(100 * (exp(0.2) - 1))
    assert found.budgets[0].value == pytest.approx(exp(0.2) - 1)
    assert found.n == 20
    assert found.warnings == ("perplexity of 20 documents is not judged, it takes 30",)


def test_the_interval_of_many_documents_is_scipys_bca() -> None:
    from scipy.stats import bootstrap

    teacher, variant, tokens = documents(np.random.default_rng(0), 4000, log_ratio=0.02)

    def log_ratio(difference: Floats, sizes: Floats, axis: int = -1) -> Floats:
        return np.asarray(difference.sum(axis=axis) / sizes.sum(axis=axis))

    theirs = bootstrap(
        (variant - teacher, tokens), log_ratio, paired=True, vectorized=True, n_resamples=4000,
        confidence_level=0.9, method="BCa", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    found = judge_perplexity(teacher, variant, tokens, [])
    ours = tuple(log(1 + bound / 100) for bound in found.interval or ())
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.06 * (theirs.high - theirs.low))
    assert found.verdict is None


@pytest.mark.parametrize(
    ("log_ratio", "verdict"),
    [(0.0, Verdict.PASS), (0.021, Verdict.INCONCLUSIVE), (0.06, Verdict.FAIL)],
)
def test_three_verdicts(log_ratio: float, verdict: Verdict) -> None:
    found = judged(documents(np.random.default_rng(2), 400, log_ratio=log_ratio), 0.02)
    assert found.verdict is verdict
    assert (found.n_needed is not None) == (verdict is Verdict.INCONCLUSIVE)


def test_the_documents_needed_decide() -> None:
    first = judged(documents(np.random.default_rng(3), 60, log_ratio=0.015), 0.02)
    assert first.verdict is Verdict.INCONCLUSIVE
    assert first.n_needed is not None
    again = [
        judged(documents(np.random.default_rng(seed), 2 * first.n_needed, log_ratio=0.012), 0.02).verdict
        for seed in range(10)
    ]
    assert again.count(Verdict.PASS) >= 8


def test_a_ceiling_is_on_the_variants_own_perplexity() -> None:
    columns = documents(np.random.default_rng(4), 200)
    verdicts = [judged(columns, limit, "ceiling").verdict for limit in (15.0, 20.0, 25.0)]
    # exp(3) is 20.1
    assert verdicts == [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]


def test_the_standard_error_is_that_of_simulated_sets_of_documents() -> None:
    rng = np.random.default_rng(11)
    widths, ratios = [], []
    for seed in range(300):
        teacher, variant, tokens = documents(rng, 300)
        low, high = judge_perplexity(teacher, variant, tokens, [], seed=seed, resamples=400).interval or ()
        widths.append(log(1 + high / 100) - log(1 + low / 100))
        ratios.append((variant.sum() - teacher.sum()) / tokens.sum())
    assert np.mean(widths) == pytest.approx(2 * 1.6449 * np.std(ratios), rel=0.15)


def test_documents_of_equal_length_count_each_and_one_long_one_counts_alone() -> None:
    assert effective_documents(np.full(50, 7.0)) == pytest.approx(50)
    # (10⁴ + 50)² / (10⁸ + 50)
    assert effective_documents(np.append(np.ones(50), 100.0)) == pytest.approx(1.01, abs=0.001)


def test_an_equal_model_passes() -> None:
    teacher, _, tokens = documents(np.random.default_rng(5), 50)
    assert judged((teacher, teacher, tokens), 0.01).verdict is Verdict.PASS


@pytest.mark.parametrize("n", [1, 2, 29])
def test_a_handful_of_documents_decides_nothing(n: int) -> None:
    teacher, _, tokens = documents(np.random.default_rng(6), n)
    found = judged((teacher, teacher * 2, tokens), 0.01)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.n_needed is not None
    assert found.n_needed >= 30


@pytest.mark.parametrize(
    ("kind", "limit", "said"),
    [
        ("drop_points", 1.0, "has no points; perplexity takes increase_relative, ceiling"),
        ("floor", 1.0, "floor does not suit perplexity: .* more is better"),
        ("increase_relative", nan, "expected a finite number above 0"),
        ("ceiling", 0.5, "ceiling is 0.5, expected a value of perplexity, between 1 and inf"),
    ],
)
def test_a_budget_that_does_not_suit_is_refused(kind: BudgetKind, limit: float, said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        judged(documents(np.random.default_rng(0), 20), limit, kind)


def test_columns_that_do_not_fit_are_named() -> None:
    teacher, variant, tokens = documents(np.random.default_rng(0), 20)
    with pytest.raises(MeasureError, match=r"shapes \(19,\), \(20,\) and \(20,\), expected one number a doc"):
        judged((teacher[:-1], variant, tokens), 0.01)
    with pytest.raises(MeasureError, match="document 3 of the variant has inf nats: the model is broken"):
        judged((teacher, np.where(np.arange(20) == 3, inf, variant), tokens), 0.01)
    with pytest.raises(MeasureError, match="document 0 has 0 tokens, expected at least 1"):
        judged((teacher, variant, np.where(np.arange(20) == 0, 0, tokens)), 0.01)
    with pytest.raises(MeasureError, match="at least one document"):
        judged((np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)), 0.01)


@pytest.mark.parametrize("n", [30, 100])
def test_a_growth_at_its_limit_passes_in_at_most_6_percent(n: int) -> None:
    many = documents(np.random.default_rng(7), 2_000_000, log_ratio=0.03)
    true = exp((many[1].sum() - many[0].sum()) / many[2].sum()) - 1
    rng, runs, passed, failed = np.random.default_rng(8), 800, 0, 0
    for seed in range(runs):
        columns = documents(rng, n, log_ratio=0.03)
        budget = QualityBudget("increase_relative", true)
        found = judge_perplexity(*columns, [budget], seed=seed, resamples=600).verdict
        passed += found is Verdict.PASS
        failed += found is Verdict.FAIL
    # 6 % and two standard errors of 800 runs
    assert passed / runs <= 0.06 + 0.017
    assert failed / runs <= 0.06 + 0.017
