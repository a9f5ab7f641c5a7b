"""Budgets on milliseconds: the interval of a quantile, and what rounds that are not independent count as."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import binom

from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import (
    compute_quantile_interval,
    count_fewest_rounds,
    count_independent_rounds,
    format_call_times,
    judge_call_times,
)
from slimgate.judge.latency_budgets import TOKENS_PER_SECOND, TTFT_P95
from slimgate.judge.speed import LAYOUT
from slimgate.outcomes import Floats
from slimgate.results.base import Verdict


def p95(limit: float) -> LimitBudget:
    return LimitBudget("p95_ms_max", limit)


def p50(limit: float) -> LimitBudget:
    return LimitBudget("p50_ms_max", limit)


def shuffled(ms: Floats) -> Floats:
    """In an order without autocorrelation."""
    orders = (ms[np.random.default_rng(seed).permutation(len(ms))] for seed in range(20))
    return next(order for order in orders if count_independent_rounds(order, float(np.median(ms))) == len(ms))


def test_the_95th_percentile_takes_59_rounds_and_the_median_5() -> None:
    assert count_fewest_rounds("p95_ms_max") == 59
    assert count_fewest_rounds("p50_ms_max") == 5
    times = np.arange(1.0, 60.0)
    assert compute_quantile_interval(times, 0.95, 59)[1] == 59.0
    assert compute_quantile_interval(times[:58], 0.95, 58)[1] == np.inf


@pytest.mark.parametrize("rounds", [5, 59, 100, 333])
@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_the_interval_is_the_narrowest_that_misses_in_5_percent(rounds: int, quantile: float) -> None:
    times = np.arange(1.0, rounds + 1)  # the k-th smallest is k
    low, high = compute_quantile_interval(times, quantile, rounds)
    at_most = binom(rounds, quantile).cdf
    # the k-th smallest is above the quantile where fewer than k times are below it
    if low > 0:
        assert at_most(low - 1) <= 0.05
    assert at_most(low) > 0.05
    if np.isfinite(high):
        assert 1 - at_most(high - 1) <= 0.05
    assert 1 - at_most(min(high, rounds + 1) - 2) > 0.05


def test_rounds_that_count_as_fewer_widen_the_interval() -> None:
    times = np.arange(1.0, 401.0)
    low, high = compute_quantile_interval(times, 0.5, 100)
    few_low, few_high = compute_quantile_interval(np.arange(1.0, 101.0), 0.5, 100)
    assert (low, high) == pytest.approx((4 * few_low, 4 * few_high), abs=4)
    assert low < compute_quantile_interval(times, 0.5, 400)[0]


def test_equal_times_below_the_limit_pass_and_above_it_fail() -> None:
    times = np.full(59, 10.0)
    judged = judge_call_times(times, [p50(10.4), p95(10.4), p50(9.6)])
    assert [budget.verdict for budget in judged.budgets] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    assert judged.verdict is Verdict.FAIL
    assert judged.budgets[0].interval == pytest.approx((10 * np.exp(-LAYOUT), 10 * np.exp(LAYOUT)))
    assert judged.budgets[0].value == 10.0


def test_58_rounds_far_below_the_limit_pass_no_95th_percentile() -> None:
    (budget,) = judge_call_times(np.full(58, 1.0), [p95(100.0)]).budgets
    assert budget.verdict is Verdict.INCONCLUSIVE
    assert budget.n_needed == 59


def test_one_slow_call_of_59_leaves_only_the_95th_undecided() -> None:
    times = np.full(59, 5.0)
    times[30] = 50.0
    judged = judge_call_times(times, [p50(8.0), p95(20.0)])
    assert [budget.verdict for budget in judged.budgets] == [Verdict.PASS, Verdict.INCONCLUSIVE]
    assert judged.counted == 59
    assert judged.budgets[1].n_needed is not None
    assert judged.budgets[1].n_needed > 59


def test_a_quantile_within_3_percent_of_its_limit_is_undecided() -> None:
    times = shuffled(np.linspace(9.99, 10.01, 10_000))
    judged = judge_call_times(times, [p50(10.1)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.budgets[0].n_needed is None
    assert "within 3 % of the limit" in format_call_times("int8", "b1", judged)


def test_the_named_number_of_rounds_passes_it_most_times() -> None:
    rng = np.random.default_rng(0)
    budget, share = p95(20.0), 0.03  # of the calls are slow, 5 % may be

    def drawn(rounds: int) -> Floats:
        return np.where(rng.random(rounds) < share, 40.0, 10.0) * rng.uniform(0.99, 1.01, rounds)

    first = judge_call_times(shuffled(np.where(np.arange(100) < 3, 40.0, 10.0)), [budget]).budgets[0]
    assert first.n_needed is not None
    assert 300 < first.n_needed < 2000
    passed = [judge_call_times(drawn(first.n_needed), [budget]).verdict is Verdict.PASS for _ in range(100)]
    assert np.mean(passed) > 0.65


def test_rounds_that_follow_each_other_alike_count_as_fewer() -> None:
    rng = np.random.default_rng(0)
    each_five_times = np.repeat(rng.exponential(size=200), 5)
    assert 120 < count_independent_rounds(each_five_times, 1.0) < 280
    drift = np.linspace(10.0, 12.0, 100)
    assert count_independent_rounds(drift, 11.0) < 10
    assert judge_call_times(drift, [p95(12.5)]).verdict is Verdict.INCONCLUSIVE


def test_calls_by_turns_do_not_hide_a_drift() -> None:
    """Their first autocorrelation is negative, although each batch is slow for many rounds."""
    rng = np.random.default_rng(0)
    drift = lfilter([1.0], [1.0, -0.95], rng.normal(size=400) * (1 - 0.95**2) ** 0.5)
    ms = 10 * np.exp(0.15 * drift + 0.3 * (np.arange(400) % 2))
    assert np.corrcoef(ms[1:], ms[:-1])[0, 1] < 0
    assert count_independent_rounds(ms, float(np.median(ms))) < 60


def test_slow_calls_in_one_burst_count_by_the_limit_they_break() -> None:
    times = np.random.default_rng(1).uniform(9.0, 10.0, 400)
    apart, together = times.copy(), times.copy()
    apart[::50] = 30.0
    together[100:108] = 30.0
    assert count_independent_rounds(together, 20.0) < count_independent_rounds(apart, 20.0) / 3
    assert judge_call_times(apart, [p95(20.0)]).verdict is Verdict.PASS
    assert judge_call_times(together, [p95(20.0)]).verdict is Verdict.INCONCLUSIVE


def test_the_message_has_quantiles_limits_and_counted_rounds() -> None:
    judged = judge_call_times(np.repeat(shuffled(np.linspace(9.0, 10.0, 100)), 2), [p50(20.0), p95(8.0)])
    line = format_call_times("int8", "b1", judged)
    assert line.startswith("int8: batch 1: p50 9.50 ms [")
    assert "], budget 20: PASS; p95 9.95 ms [" in line
    assert "], budget 8: FAIL (200 rounds" in line
    assert line.endswith(f", which count as {judged.counted})")
    assert judged.counted < 130
    slow = judge_call_times(shuffled(np.linspace(3400.0, 3600.0, 200)), [p50(20.0)])
    assert format_call_times("int8", "b1", slow).startswith("int8: batch 1: p50 3,500 ms [3,")


def test_no_rounds_are_an_error() -> None:
    with pytest.raises(MeasureError, match="none were timed"):
        judge_call_times(np.array([]), [p50(1.0)])


def test_tokens_a_second_are_judged_by_the_median_answer() -> None:
    """Answers of 64 tokens in 100 ms are 640 tokens a second, 3 % up or down."""
    ms = np.full(100, 100.0)
    low, high = (LimitBudget(TOKENS_PER_SECOND, limit) for limit in (600.0, 700.0))
    judged = judge_call_times(ms, [low, high], tokens=64)
    assert [budget.verdict for budget in judged.budgets] == [Verdict.PASS, Verdict.FAIL]
    assert judged.budgets[0].value == pytest.approx(640)
    assert judged.budgets[0].interval == pytest.approx((640 * exp(-LAYOUT), 640 * exp(LAYOUT)))
    near = judge_call_times(ms, [LimitBudget(TOKENS_PER_SECOND, 630.0)], tokens=64)
    assert near.verdict is Verdict.INCONCLUSIVE
    message = format_call_times("int8", "p128n64b1", judged)
    assert "median 640 tokens/s [621, 659], budget 600: PASS; median 640 tokens/s" in message
    with pytest.raises(MeasureError, match="calls that generate tokens, and these generate none"):
        judge_call_times(ms, [low])


def test_the_first_token_is_judged_by_its_95th_percentile() -> None:
    ms = np.concatenate([np.full(190, 10.0), np.full(10, 50.0)])[np.random.default_rng(0).permutation(200)]
    judged = judge_call_times(ms, [LimitBudget(TTFT_P95, 60.0), LimitBudget(TTFT_P95, 9.0)])
    assert [budget.verdict for budget in judged.budgets] == [Verdict.PASS, Verdict.FAIL]
    assert "first token p95" in format_call_times("int8", "p128n64b1-ttft", judged)


def test_a_bound_at_the_limit_passes_and_does_not_fail() -> None:
    limit = [LimitBudget("p50_ms_max", 10.0)]
    [equal] = judge_call_times(np.full(100, 10.0), limit, noise=0.0).budgets
    mixed = np.random.default_rng(0).permutation(np.repeat([10.0, 20.0], [52, 48]))
    [between] = judge_call_times(mixed, limit, noise=0.0).budgets
    assert (equal.verdict, equal.interval) == (Verdict.PASS, (10.0, 10.0))
    assert (between.verdict, between.interval) == (Verdict.INCONCLUSIVE, (10.0, 20.0))
