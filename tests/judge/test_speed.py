"""Speed-ups on times made by hand: no clock is involved."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge.speed import (
    LAYOUT,
    PLANTED_DELAYS,
    Speedup,
    compute_clearance,
    compute_log_ratio_interval,
    compute_visible_delay,
    estimate_speedup,
    format_delay_message,
    format_speed_message,
    is_delay_detected,
    is_settled,
    judge_speedup,
)
from slimgate.results.base import Verdict


def times(seed: int, middle: float, spread: float = 0.02, rounds: int = 60) -> np.ndarray:
    return middle * np.exp(np.random.default_rng(seed).normal(0, spread, rounds))


def test_a_ratio_without_noise_is_exact() -> None:
    middle, low, high = compute_log_ratio_interval(np.full(9, 0.010), np.full(9, 0.005))
    assert (middle, low, high) == pytest.approx((np.log(2), np.log(2), np.log(2)))


def test_drift_that_both_share_does_not_count() -> None:
    drift = np.linspace(1, 5, 20)
    _, low, high = compute_log_ratio_interval(0.010 * drift, 0.005 * drift)
    assert high - low < 1e-12


def test_the_claim_is_the_interval_widened_by_the_noise_floor() -> None:
    measured = Speedup(2.0, (1.9, 2.1), 2.0, float(np.log(1.1)), 20)
    assert measured.claimed_interval == pytest.approx((1.9 / 1.1, 2.1 * 1.1))


@pytest.mark.parametrize(
    ("minimum", "verdict"),
    [(1.7, Verdict.PASS), (1.8, Verdict.INCONCLUSIVE), (2.2, Verdict.INCONCLUSIVE), (2.4, Verdict.FAIL)],
)
def test_a_budget_is_decided_by_the_widened_interval(minimum: float, verdict: Verdict) -> None:
    measured = Speedup(2.0, (1.9, 2.1), 2.0, float(np.log(1.1)), 20)
    assert judge_speedup(measured, minimum, None).verdict is verdict


def test_equal_models_are_seldom_called_faster_than_the_floor() -> None:
    above = 0
    for seed in range(200):
        measured = estimate_speedup(
            times(seed, 1.0), times(seed + 1000, 1.0), times(seed + 2000, 1.0), of_minima=1.0
        )
        above += measured.claimed_interval[0] > 1.0
    assert above <= 2


def test_a_slower_variant_fails_a_budget_of_one() -> None:
    measured = estimate_speedup(times(0, 1.0), times(1, 1.0), times(2, 1.3), of_minima=0.77)
    assert judge_speedup(measured, 1.0, None).verdict is Verdict.FAIL


def test_a_duel_goes_on_until_both_intervals_are_narrow() -> None:
    wide, narrow = times(1, 1.0, 0.2), times(2, 1.0, 0.001)
    even = times(3, 1.0, 0.001)
    assert is_settled(even, narrow, narrow, minimum=None)
    assert not is_settled(even, wide, narrow, minimum=None)
    assert not is_settled(even, narrow, wide, minimum=None)


@pytest.mark.parametrize(("minimum", "ends"), [(1.2, True), (2.0, False), (3.0, True)])
def test_a_duel_ends_early_where_its_budget_is_decided(minimum: float, ends: bool) -> None:
    """Twice as fast, known to some 10 %: above 1.2 and below 3, and who knows about 2."""
    teacher, copy, twice = (times(seed, middle, 0.1) for seed, middle in ((1, 1.0), (2, 1.0), (3, 0.5)))
    assert is_settled(teacher, copy, twice, minimum=minimum) is ends
    assert not is_settled(teacher, copy, twice, minimum=None)


INTERIM_ROUNDS = (12, 24, 48, 96)


def even_duel(seed: int, *, naive: bool) -> tuple[bool, bool]:
    """Whether models that are equal are told apart: by the interval, and by the claim after the floor.

    Calls are interrupted at random (heavy tails); the budget is 1, which is the truth. Interim analyses at
    12, 24, 48 and 96 rounds, and 200 if none of them ended it. naive: ends at the first interval without 1.
    """
    random = np.random.default_rng(seed)
    noise = 0.015 * random.standard_t(2, (3, 200)).clip(-100, 100)
    teacher, copy, variant = np.exp(noise)
    for rounds in (*INTERIM_ROUNDS, 200):
        so_far = teacher[:rounds], copy[:rounds], variant[:rounds]
        low, high = compute_log_ratio_interval(teacher[:rounds], variant[:rounds])[1:]
        if low > 0 or high < 0 if naive else is_settled(*so_far, minimum=1.0):
            break
    measured = estimate_speedup(*so_far, of_minima=1.0)
    apart = [not low <= 1.0 <= high for low, high in (measured.interval, measured.claimed_interval)]
    return apart[0], apart[1]


def test_interim_analyses_make_no_false_claims_likelier() -> None:
    """400 duels of equals, 5 interim analyses: the 95 % interval misses 1 in about 5 % (at most 8 %: 2.8
    standard errors), the claim in hardly any; stopping at the first interval without 1 misses in over 10 %.
    """
    ours = np.array([even_duel(seed, naive=False) for seed in range(400)])
    naive = np.array([even_duel(seed, naive=True) for seed in range(400)])
    assert ours[:, 0].mean() <= 0.08
    assert ours[:, 1].sum() <= 2
    assert naive[:, 0].mean() > 0.10


def test_a_claim_at_its_budget_is_too_near_if_delays_are_unseen() -> None:
    measured = Speedup(2.2, (2.0, 2.5), 2.2, 0.0, 20)
    judged = judge_speedup(measured, 2.0, None, visible=0.3)
    assert format_speed_message("int8", "b1", measured, judged, visible=0.3).endswith(NEAR)


@pytest.mark.parametrize("minimum", [1.7, 2.4])
def test_nothing_is_decided_where_the_machine_hides_a_delay(minimum: float) -> None:
    measured = Speedup(2.0, (1.9, 2.1), 2.0, float(np.log(1.1)), 20)
    judged = judge_speedup(measured, minimum, None, visible=None)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert format_speed_message("int8", "b1", measured, judged, visible=None).endswith(
        f"budget {minimum:g}×: INCONCLUSIVE, this machine hides every planted delay (self-test)"
    )


NEAR = (
    "INCONCLUSIVE, the interval is less than 30 % from the budget, and no smaller delay is seen here"
    " (self-test)"
)
UNDECIDED = "INCONCLUSIVE, a quieter machine or more max_seconds would decide"


@pytest.mark.parametrize(
    ("minimum", "expected"),
    [(1.3, "PASS"), (1.5, NEAR), (2.0, UNDECIDED), (2.5, NEAR), (3.1, "FAIL")],
)
def test_only_what_is_past_the_budget_by_the_delay_is_decided(minimum: float, expected: str) -> None:
    """The claim is 1.73 to 2.31 times: 1.73 / 1.3 = 1.33, and 2.31 * 1.3 = 3.003."""
    measured = Speedup(2.0, (1.9, 2.1), 2.0, float(np.log(1.1)), 20)
    judged = judge_speedup(measured, minimum, None, visible=0.3)
    assert judged.verdict is Verdict(expected.split(",")[0])
    assert format_speed_message("int8", "b1", measured, judged, visible=0.3).endswith(f": {expected}")
    decided = Verdict.PASS if minimum < 2 else Verdict.FAIL
    smallest = judge_speedup(measured, minimum, None, visible=PLANTED_DELAYS[0])
    assert smallest.verdict is (Verdict.INCONCLUSIVE if expected == UNDECIDED else decided)


def test_a_duel_does_not_end_at_a_verdict_that_a_delay_undoes() -> None:
    """Twice as fast, known to some 10 %: above 1.5, but not by 30 %; above 1.2 by as much."""
    teacher, copy, twice = (times(seed, middle, 0.1) for seed, middle in ((1, 1.0), (2, 1.0), (3, 0.5)))
    assert is_settled(teacher, copy, twice, minimum=1.5)
    assert not is_settled(teacher, copy, twice, minimum=1.5, visible=0.3)
    assert is_settled(teacher, copy, twice, minimum=1.2, visible=0.3)
    assert not is_settled(teacher, copy, twice, minimum=1.2, visible=None)


@pytest.mark.parametrize(
    ("interval", "seen"), [((0.88, 0.93), True), ((0.88, 0.96), False), ((1.02, 1.1), False)]
)
def test_a_delay_is_seen_where_the_claim_lies_wholly_below_one(
    interval: tuple[float, float], seen: bool
) -> None:
    measured = Speedup(0.91, interval, 0.91, 0.05, 24)
    assert is_delay_detected(measured) is seen
    assert format_delay_message("b1", measured, 0.1).endswith(
        "(noise floor 5.0 %, 24 rounds): seen" if seen else "this run's speed-up verdicts are INCONCLUSIVE"
    )
    assert format_delay_message("b1", measured, 0.3).endswith(
        "seen, none smaller, so speed-ups within 30 % of their budget are INCONCLUSIVE"
        if seen
        else "this run's speed-up verdicts are INCONCLUSIVE"
    )


@pytest.mark.parametrize(("speedup", "visible"), [(0.91, 0.1), (0.93, 0.1), (0.6, 0.667)])
def test_more_than_was_meant_may_have_been_planted(speedup: float, visible: float) -> None:
    measured = Speedup(speedup, (speedup - 0.02, speedup + 0.01), speedup, 0.01, 24)
    assert compute_visible_delay(measured, 0.1) == pytest.approx(visible, abs=1e-3)
    assert compute_clearance(compute_visible_delay(measured, 0.1)) == pytest.approx(
        1.0 if visible == 0.1 else 1.667, abs=1e-3
    )


def test_times_that_are_not_positive_are_refused() -> None:
    with pytest.raises(MeasureError, match="not positive"):
        compute_log_ratio_interval(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    with pytest.raises(MeasureError, match=r"^a duel has times that are not positive$"):
        compute_log_ratio_interval(np.array([1.0, 1.0]), np.array([1.0, 0.0]))


def test_rounds_must_pair() -> None:
    with pytest.raises(MeasureError, match=r"^a duel has 2 and 3 rounds, expected the same number of both$"):
        compute_log_ratio_interval(np.ones(2), np.ones(3))
    with pytest.raises(MeasureError, match="0 and 0 rounds"):
        compute_log_ratio_interval(np.ones(0), np.ones(0))


def test_the_message_says_what_would_decide() -> None:
    measured = Speedup(2.0, (1.9, 2.1), 2.0, 0.03, 20)
    line = format_speed_message("int8", "b1", measured, judge_speedup(measured, 2.0, None))
    assert line == (
        "int8: batch 1: 2.00× the teacher's speed [1.84, 2.16] (noise floor 3.0 %, 20 rounds), budget 2×: "
        "INCONCLUSIVE, a quieter machine or more max_seconds would decide"
    )


def test_the_message_does_not_round_a_bound_to_its_budget() -> None:
    measured = Speedup(1.62, (1.497, 1.75), 1.62, 0.0, 20)
    line = format_speed_message("int8", "b1", measured, judge_speedup(measured, 1.5, None))
    assert line.startswith("int8: batch 1: 1.620× the teacher's speed [1.497, 1.750] ")


@pytest.mark.parametrize("minimum", [1.0, 50.0])
def test_nothing_is_decided_where_another_process_has_the_cores(minimum: float) -> None:
    """On two cores beside another model, a true speed-up of 10 was 63 [60, 73], with a noise floor of 3 %."""
    crowded = estimate_speedup(
        times(1, 0.4), times(2, 0.4), times(3, 0.02), of_minima=20.0, queued_threads=0.9
    )
    assert crowded.is_crowded
    judged = judge_speedup(crowded, minimum, None)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert format_speed_message("int8", "b1", crowded, judged).endswith(
        "INCONCLUSIVE, other processes use the same cores: on average, 0.9 threads of a model had none"
    )
    free = estimate_speedup(times(1, 0.4), times(2, 0.4), times(3, 0.02), of_minima=20.0, queued_threads=0.1)
    assert judge_speedup(free, minimum, None).verdict is not Verdict.INCONCLUSIVE


def test_the_messages_of_a_planted_delay() -> None:
    measured = Speedup(0.91, (0.88, 0.93), 0.91, 0.01, 24)
    claim = "batch 1: 0.91× the teacher's speed [0.87, 0.94] (noise floor 1.0 %, 24 rounds): "
    assert format_delay_message("b1", measured, 0.1) == f"self-test, planted delay of 10 %: {claim}seen"
    assert format_delay_message("b1", measured, 0.3) == (
        f"self-test, planted delay of 30 %: {claim}seen, none smaller, so speed-ups within 30 % of their "
        "budget are INCONCLUSIVE"
    )
    hidden = Speedup(0.99, (0.95, 1.05), 0.99, 0.12, 24)
    assert format_delay_message("b1", hidden, 0.1) == (
        "self-test, planted delay of 10 %: batch 1: 0.99× the teacher's speed [0.84, 1.18] (noise floor "
        "12.0 %, 24 rounds): not seen, so this run's speed-up verdicts are INCONCLUSIVE"
    )


@pytest.mark.parametrize(
    ("visible", "why"),
    [
        (None, "this machine hides every planted delay (self-test)"),
        (
            0.3,
            "the interval is less than 30 % from the budget, and no smaller delay is seen here (self-test)",
        ),
        (0.2, "a quieter machine or more max_seconds would decide"),
    ],
)
def test_the_message_says_why_a_fast_speed_up_is_undecided(visible: float | None, why: str) -> None:
    measured = Speedup(2.0, (1.9, 2.1), 2.0, 0.0, 20)
    minimum = 1.8 if visible != 0.2 else 2.0
    line = format_speed_message(
        "int8", "b1", measured, judge_speedup(measured, minimum, None, visible=visible), visible=visible
    )
    assert line.endswith(f", budget {minimum:g}×: INCONCLUSIVE, {why}")
    slow = Speedup(2.0, (1.9, 2.1), 2.0, 0.0, 20)
    if visible == 0.3:
        below = judge_speedup(slow, 2.2, None, visible=visible)
        assert format_speed_message("int8", "b1", slow, below, visible=visible).endswith(why)


def test_a_line_without_budget_or_with_a_verdict_has_no_reason() -> None:
    measured = Speedup(2.0, (1.9, 2.1), 2.0, 0.12, 20)
    line = "int8: batch 1: 2.00× the teacher's speed [1.69, 2.37] (noise floor 12.0 %, 20 rounds)"
    assert format_speed_message("int8", "b1", measured, None) == line
    assert (
        format_speed_message("int8", "b1", measured, judge_speedup(measured, 1.5, "r"))
        == f"{line}, budget 1.5×: PASS"
    )
    judged = judge_speedup(measured, 1.5, "r")
    assert (judged.kind, judged.limit, judged.reason, judged.n_needed) == ("speedup_min", 1.5, "r", None)


@pytest.mark.parametrize(
    ("rounds", "level", "left_out"),
    [(12, 0.95, 2), (12, 0.999, 0), (60, 0.95, 21), (60, 0.999, 16), (6, 0.95, 0), (11, 0.999, 0)],
)
def test_the_interval_leaves_out_as_many_rounds_as_the_sign_test(
    rounds: int, level: float, left_out: int
) -> None:
    """Of 12 rounds 2 or fewer are below the true median with a chance of 79 / 4096, 3 or fewer with 299."""
    teacher, variant = times(1, 1.0, rounds=rounds), times(2, 0.8, rounds=rounds)
    ratios = sorted(np.log(teacher / variant))
    expected = np.median(ratios), ratios[left_out], ratios[-1 - left_out]
    assert compute_log_ratio_interval(teacher, variant, level=level) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("rounds", "level"), [(5, 0.95), (10, 0.999), (1, 0.95)])
def test_too_few_rounds_bound_nothing(rounds: int, level: float) -> None:
    teacher, variant = times(1, 1.0, rounds=rounds), times(2, 0.8, rounds=rounds)
    assert compute_log_ratio_interval(teacher, variant, level=level)[1:] == (-np.inf, np.inf)


def test_a_claim_passes_at_its_low_end_and_not_at_its_high_end() -> None:
    measured = Speedup(2.0, (1.5, 2.5), 2.0, 0.0, 20)
    verdicts = [judge_speedup(measured, minimum, None).verdict for minimum in (1.5, 2.5, 2.5000001)]
    assert verdicts == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]


def test_an_estimate_is_the_median_of_the_rounds_ratios() -> None:
    teacher = np.tile([1.0, 1.0, 1.2, 1.0], 3)
    variant = np.tile([0.5, 0.4, 0.6, 0.5], 3)
    measured = estimate_speedup(teacher, teacher, variant, of_minima=2.1, threads=3)
    assert (measured.speedup, measured.threads) == (pytest.approx(2.0), 3)
    assert measured.interval[0] <= 2.0 <= measured.interval[1]
    assert (measured.of_minima, measured.noise_floor, measured.rounds) == (2.1, LAYOUT, 12)


def test_the_copys_distance_counts_twice_in_the_noise_floor() -> None:
    teacher = np.ones(20)
    measured = estimate_speedup(teacher, teacher * np.exp(0.05), teacher, of_minima=1.0)
    assert measured.noise_floor == pytest.approx(0.10)


def test_half_a_thread_that_waits_is_not_crowded_and_more_is() -> None:
    crowded = [Speedup(2.0, (1.5, 2.5), 2.0, 0.0, 20, 2, queued).is_crowded for queued in (0.5, 0.51)]
    assert crowded == [False, True]


@pytest.mark.parametrize(
    ("level", "bounds"), [(1 - 2**-5, (1, 6)), (1 - 2**-6, (0, np.inf))], ids=["just enough", "too few"]
)
def test_six_rounds_bound_a_ratio_at_a_level_of_2_of_64(level: float, bounds: tuple[float, float]) -> None:
    """All six ratios are on one side of the true median in 2 of 64 duels."""
    teacher = np.array([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    _, low, high = compute_log_ratio_interval(teacher, np.ones(6), level=level)
    assert (np.exp(low), np.exp(high)) == pytest.approx(bounds)
