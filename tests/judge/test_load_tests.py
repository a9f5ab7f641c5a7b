"""slimgate.judge.load_tests: ratio, interval and noise floor of two load tests, worked by hand."""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
import pytest

from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import compute_quantile_interval, count_independent_rounds
from slimgate.judge.latency_budgets import SpeedBudget
from slimgate.judge.load_tests import (
    AS_NOISY,
    MEDIAN,
    ONE_RUN,
    TOO_CLOSE,
    TOO_FEW,
    compare_times,
    format_ratio_message,
    judge_ratio,
    judge_time_limit,
    list_part_times,
    widen_by_noise,
)
from slimgate.judge.speed import LAYOUT
from slimgate.plugins.reader import LoadRequest
from slimgate.results.base import Verdict
from slimgate.results.tool_logs import TimeRatioFacts


def requests(times: object) -> list[LoadRequest]:
    return [LoadRequest(first=t / 4, between=t / 100, total=t) for t in np.asarray(times, np.float64)]


def draw(seed: int, scale: float = 1.0, n: int = 400) -> np.ndarray:
    return scale * np.random.default_rng(seed).lognormal(5.0, 0.1, n)


def compare(base: object, target: object, again: object = None) -> TimeRatioFacts:
    repeat = None if again is None else requests(again)
    ratio = compare_times(requests(base), requests(target), repeat, "answer", MEDIAN)
    assert ratio is not None
    return ratio


def make_ratio(ratio: float, interval: tuple[float, float], noise_floor: float | None) -> TimeRatioFacts:
    return TimeRatioFacts(
        part="answer",
        quantile=MEDIAN,
        base=100.0,
        target=60.0,
        ratio=ratio,
        interval=interval,
        noise_floor=noise_floor,
        claimed_interval=widen_by_noise(interval, noise_floor),
        counted=(400, 400),
    )


def test_parts_have_own_times_and_failed_requests_are_slowest() -> None:
    log_of = [*requests([100.0]), LoadRequest(failed="timeout"), LoadRequest(total=5.0)]
    assert list_part_times(log_of, "answer").tolist() == [100.0, inf, 5.0]
    assert list_part_times(log_of, "ttft").tolist() == [25.0, inf]
    assert list_part_times(log_of, "tpot").tolist() == [1.0, inf]


def test_the_ratio_goes_from_end_to_end_of_both_intervals() -> None:
    base, target = draw(1), draw(2, 0.5)
    ratio = compare(base, target)
    counted = [count_independent_rounds(times, float(np.median(times))) for times in (base, target)]
    ends = [
        compute_quantile_interval(times, MEDIAN, n) for times, n in zip((base, target), counted, strict=True)
    ]
    assert ratio.base == pytest.approx(np.median(base), rel=0.01)
    assert ratio.target == pytest.approx(np.median(target), rel=0.01)
    assert ratio.ratio == ratio.base / ratio.target
    assert ratio.interval == (ends[0][0] / ends[1][1], ends[0][1] / ends[1][0])
    assert ratio.counted == tuple(counted)
    assert (ratio.noise_floor, ratio.claimed_interval) == (None, (0.0, inf))


def test_the_noise_floor_is_the_bases_farther_bound_to_itself() -> None:
    base, target, again = draw(1), draw(2, 0.5), draw(3, 1.01)
    ratio, itself = compare(base, target, again), compare(base, again)
    low, high = itself.interval
    assert ratio.noise_floor == abs(log(itself.ratio)) + max(abs(log(low)), abs(log(high)))
    assert ratio.claimed_interval == (
        ratio.interval[0] * exp(-ratio.noise_floor),
        ratio.interval[1] * exp(ratio.noise_floor),
    )


def test_a_difference_beyond_that_of_requests_counts_six_times() -> None:
    base, again = draw(1), draw(3, 1.2)
    itself = compare(base, again)
    distance = abs(log(itself.ratio))
    explained = max(abs(log(bound)) for bound in itself.interval) - distance
    expected = 6.3137515 * (distance**2 - explained**2) ** 0.5  # Student's quantile of one degree of freedom
    assert compare(base, draw(2), again).noise_floor == pytest.approx(expected)


@pytest.mark.parametrize("spread", [0.03, 0.2], ids=["runs differ by 3 %", "runs differ by 20 %"])
def test_a_target_at_its_budget_passes_rarely_if_runs_differ(spread: float) -> None:
    draws, passed = np.random.default_rng(0), 0
    for _ in range(400):
        base, again, target = 100 * np.exp(spread * draws.standard_normal(3)) / [1.0, 1.0, 1.5]
        ratio = compare(*(np.full(100, time) for time in (base, target, again)))
        passed += judge_ratio(ratio, SpeedBudget(speedup_min=1.5)).verdict is Verdict.PASS
    assert passed <= 0.05 * 400  # 13 % of them by twice the difference of the two base runs


def test_equal_runs_differ_by_at_least_the_layout_of_memory() -> None:
    constant = np.full(400, 100.0)
    assert compare(constant, draw(2), constant).noise_floor == LAYOUT


def test_nothing_is_known_of_the_noise_of_few_requests() -> None:
    assert compare(draw(1), draw(2), draw(3, n=2)).noise_floor == inf
    assert compare(draw(1), draw(2), []).noise_floor == inf


def test_without_an_answered_request_there_is_no_ratio() -> None:
    failed = [LoadRequest(failed="timeout")] * 5
    assert compare_times(requests(draw(1)), failed, None, "answer", MEDIAN) is None
    assert compare_times(failed, requests(draw(1)), None, "answer", MEDIAN) is None


def test_most_requests_failed_is_no_speed() -> None:
    failed = [LoadRequest(failed="timeout")] * 300
    slow = compare_times(requests(draw(1)), [*requests(draw(2, n=100)), *failed], None, "answer", MEDIAN)
    assert slow is not None
    assert (slow.target, slow.ratio) == (inf, 0.0)
    fast = compare_times([*requests(draw(2, n=100)), *failed], requests(draw(1)), None, "answer", MEDIAN)
    assert fast is not None
    assert fast.ratio == inf


@pytest.mark.parametrize(
    ("interval", "floor", "verdict", "end"),
    [
        ((1.6, 2.0), 0.0, Verdict.PASS, "PASS"),
        ((1.5, 2.0), 0.0, Verdict.PASS, "PASS"),
        ((1.0, 1.4), 0.0, Verdict.FAIL, "FAIL"),
        ((1.0, 1.5), 0.0, Verdict.INCONCLUSIVE, "INCONCLUSIVE, more requests in each run may decide"),
        (
            (1.6, 2.0),
            0.3,
            Verdict.INCONCLUSIVE,
            f"INCONCLUSIVE, {AS_NOISY}",
        ),
        (
            (1.0, 1.4),
            0.3,
            Verdict.INCONCLUSIVE,
            f"INCONCLUSIVE, {AS_NOISY}",
        ),
        ((1.6, 2.0), None, Verdict.INCONCLUSIVE, f"INCONCLUSIVE, {ONE_RUN}"),
        ((1.6, 2.0), inf, Verdict.INCONCLUSIVE, f"INCONCLUSIVE, {TOO_FEW}"),
    ],
)
def test_a_speed_up_is_claimed_beyond_the_noise_alone(
    interval: tuple[float, float], floor: float | None, verdict: Verdict, end: str
) -> None:
    ratio = make_ratio(1.7, interval, floor)
    judged = judge_ratio(ratio, SpeedBudget(speedup_min=1.5))
    assert judged.verdict is verdict
    assert format_ratio_message("c8", ratio, judged).endswith(f", budget 1.5×: {end}")


@pytest.mark.parametrize("ratio", [1.46, 1.5, 1.54])
def test_more_requests_are_not_asked_for_within_the_noise(ratio: float) -> None:
    """However many requests there are, the noise floor is at least 3 %."""
    times = make_ratio(ratio, (1.4, 1.6), LAYOUT)
    judged = judge_ratio(times, SpeedBudget(speedup_min=1.5))
    assert format_ratio_message("c8", times, judged).endswith(f": INCONCLUSIVE, {TOO_CLOSE}")


@pytest.mark.parametrize(
    ("interval", "bounds"),
    [((1.497, 1.75), "[1.497, 1.750] ("), ((1.497, inf), "[1.497, no bound] (")],
    ids=["both bounds", "one bound"],
)
def test_a_bound_is_not_rounded_to_its_budget(interval: tuple[float, float], bounds: str) -> None:
    ratio = make_ratio(1.62, interval, 0.0)
    line = format_ratio_message("c8", ratio, judge_ratio(ratio, SpeedBudget(speedup_min=1.5)))
    assert line.startswith(f"c8: 1.620× the base's speed {bounds}")


def test_times_at_their_limit_pass_rarely_by_one_run() -> None:
    """By the requests alone, 37 % would pass."""
    draws, limit = np.random.default_rng(0), LimitBudget("p50_ms_max", 100.0)
    verdicts = []
    for _ in range(3000):
        speed = 100 * np.exp(0.136 * draws.standard_normal())
        judged, _ = judge_time_limit(speed * np.exp(0.1 * draws.standard_normal(200)), limit, None)
        verdicts.append(judged.budgets[0].verdict)
    assert verdicts.count(Verdict.PASS) <= 0.06 * 3000
    assert verdicts.count(Verdict.FAIL) <= 0.06 * 3000


@pytest.mark.parametrize("spread", [0.05, 0.2], ids=["runs differ by 5 %", "runs differ by 20 %"])
def test_times_at_their_limit_pass_rarely_if_runs_differ(spread: float) -> None:
    """By the requests of one run alone, 21 and 44 % would pass."""
    draws, limit = np.random.default_rng(0), LimitBudget("p50_ms_max", 100.0)
    verdicts = []
    for _ in range(400):
        speeds = 100 * np.exp(spread * draws.standard_normal(3))
        base, again, target = (speed * np.exp(0.1 * draws.standard_normal(200)) for speed in speeds)
        judged, _ = judge_time_limit(target, limit, compare(base, target, again).noise_floor)
        verdicts.append(judged.budgets[0].verdict)
    assert verdicts.count(Verdict.PASS) <= 0.06 * 400
    assert verdicts.count(Verdict.FAIL) <= 0.06 * 400


@pytest.mark.parametrize(
    ("limit", "noise_floor", "verdict", "reason"),
    [
        (130.0, 0.2, Verdict.PASS, None),
        (70.0, 0.2, Verdict.FAIL, None),
        (110.0, 0.2, Verdict.INCONCLUSIVE, AS_NOISY),
        (130.0, None, Verdict.PASS, None),
        (78.0, None, Verdict.FAIL, None),
        (120.0, None, Verdict.INCONCLUSIVE, ONE_RUN),
        (82.0, None, Verdict.INCONCLUSIVE, ONE_RUN),
        (1000.0, inf, Verdict.INCONCLUSIVE, TOO_FEW),
    ],
    ids=[
        "within",
        "beyond",
        "as noisy",
        "one run far within",
        "one run far beyond",
        "one run just within",
        "one run just beyond",
        "few requests",
    ],
)
def test_a_limit_on_times_is_decided_beyond_the_noise(
    limit: float, noise_floor: float | None, verdict: Verdict, reason: str | None
) -> None:
    times = np.random.default_rng(0).uniform(98.0, 102.0, 400)
    judged, undecided = judge_time_limit(times, LimitBudget("p50_ms_max", limit), noise_floor)
    assert (judged.budgets[0].verdict, undecided) == (verdict, reason)
