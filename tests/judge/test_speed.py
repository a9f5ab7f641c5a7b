"""Speed-ups on times made by hand: no clock is involved."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge.speed import Speedup, estimate_speedup, judge_speedup, log_ratio_interval, speed_message
from slimgate.judge.verdict import Verdict


def times(seed: int, middle: float, spread: float = 0.02, rounds: int = 60) -> np.ndarray:
    return middle * np.exp(np.random.default_rng(seed).normal(0, spread, rounds))


def test_a_ratio_without_noise_is_exact() -> None:
    middle, low, high = log_ratio_interval(np.full(9, 0.010), np.full(9, 0.005), seed=0)
    assert (middle, low, high) == pytest.approx((np.log(2), np.log(2), np.log(2)))


def test_drift_that_both_share_does_not_count() -> None:
    drift = np.linspace(1, 5, 20)
    _, low, high = log_ratio_interval(0.010 * drift, 0.005 * drift, seed=0)
    assert high - low < 1e-12


def test_the_claim_is_the_interval_widened_by_the_noise_floor() -> None:
    found = Speedup(2.0, (1.9, 2.1), 2.0, float(np.log(1.1)), 20)
    assert found.claimed == pytest.approx((1.9 / 1.1, 2.1 * 1.1))


@pytest.mark.parametrize(
    ("minimum", "verdict"),
    [(1.7, Verdict.PASS), (1.8, Verdict.INCONCLUSIVE), (2.2, Verdict.INCONCLUSIVE), (2.4, Verdict.FAIL)],
)
def test_a_budget_is_decided_by_the_widened_interval(minimum: float, verdict: Verdict) -> None:
    found = Speedup(2.0, (1.9, 2.1), 2.0, float(np.log(1.1)), 20)
    assert judge_speedup(found, minimum, None).verdict is verdict


def test_equal_models_are_seldom_called_faster_than_the_floor() -> None:
    above = 0
    for seed in range(200):
        found = estimate_speedup(
            times(seed, 1.0), times(seed + 1000, 1.0), times(seed + 2000, 1.0), of_minima=1.0, seed=seed
        )
        above += found.claimed[0] > 1.0
    assert above <= 2


def test_a_slower_variant_fails_a_budget_of_one() -> None:
    found = estimate_speedup(times(0, 1.0), times(1, 1.0), times(2, 1.3), of_minima=0.77, seed=0)
    assert judge_speedup(found, 1.0, None).verdict is Verdict.FAIL


def test_times_that_are_not_positive_are_refused() -> None:
    with pytest.raises(MeasureError, match="not positive"):
        log_ratio_interval(np.array([0.0, 1.0]), np.array([1.0, 1.0]), seed=0)


def test_rounds_must_pair() -> None:
    with pytest.raises(MeasureError, match="2 and 3 rounds"):
        log_ratio_interval(np.ones(2), np.ones(3), seed=0)


def test_the_message_says_what_would_tell() -> None:
    found = Speedup(2.0, (1.9, 2.1), 2.0, 0.03, 20)
    line = speed_message("int8", "b1", found, judge_speedup(found, 2.0, None))
    assert line == (
        "int8: b1 2.00× the teacher's speed [1.84, 2.16] (noise floor 3.0 %, 20 rounds), budget 2×: "
        "INCONCLUSIVE, a quieter machine or more max_seconds would tell"
    )
