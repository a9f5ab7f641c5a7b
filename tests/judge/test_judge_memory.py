"""slimgate.judge.figures: ratios of peaks, worked by hand."""

from __future__ import annotations

import pytest

from slimgate.errors import MeasureError
from slimgate.judge.figures import READINGS, compute_memory_ratio, format_memory_message, judge_memory
from slimgate.results.base import Verdict

MB = 1024**2
TEACHER = [100 * MB, 102 * MB, 101 * MB, 101 * MB, 101 * MB, 101 * MB]
VARIANT = [60 * MB, 59 * MB, 61 * MB, 60 * MB, 60 * MB, 60 * MB]


def test_a_ratio_is_of_medians_and_its_spread_of_all_readings() -> None:
    memory = compute_memory_ratio(TEACHER, VARIANT)
    assert memory.ratio == 60 / 101
    assert memory.spread == (59 / 102, 61 / 100)
    assert memory.readings == 6


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (0.62, Verdict.PASS),
        (0.61, Verdict.PASS),
        (0.60, Verdict.INCONCLUSIVE),
        (0.58, Verdict.INCONCLUSIVE),
        (0.57, Verdict.FAIL),
    ],
)
def test_a_limit_inside_the_spread_is_not_decided(limit: float, verdict: Verdict) -> None:
    judged = judge_memory(compute_memory_ratio(TEACHER, VARIANT), limit, "phones")
    assert (judged.kind, judged.limit, judged.verdict, judged.reason) == (
        "memory_ratio_max",
        limit,
        verdict,
        "phones",
    )


def test_the_order_of_the_readings_changes_nothing() -> None:
    assert compute_memory_ratio(TEACHER[::-1], VARIANT[::-1]) == compute_memory_ratio(TEACHER, VARIANT)


@pytest.mark.parametrize("limit", [0.1, 10.0])
@pytest.mark.parametrize("readings", [1, 2, 5])
def test_too_few_readings_of_one_model_decide_nothing(limit: float, readings: int) -> None:
    memory = compute_memory_ratio(TEACHER, VARIANT[:readings])
    judged = judge_memory(memory, limit, None)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert format_memory_message("int8", memory, judged).endswith("INCONCLUSIVE, it takes 6 readings")


@pytest.mark.parametrize(("teacher", "variant"), [([], VARIANT), (TEACHER, []), ([0], VARIANT)])
def test_peaks_that_are_missing_or_nothing_are_refused(teacher: list[int], variant: list[int]) -> None:
    with pytest.raises(MeasureError, match="peaks of both models"):
        compute_memory_ratio(teacher, variant)


def test_the_line_says_what_was_measured_and_what_it_means() -> None:
    memory = compute_memory_ratio(TEACHER, VARIANT)
    assert format_memory_message("int8", memory, judge_memory(memory, 0.8, None)) == (
        "int8: peak memory 60.0 vs 101.0 MB, 0.594 of the teacher's [0.578, 0.610] (n=6 processes), "
        "budget 0.8: PASS"
    )
    undecided = format_memory_message("int8", memory, judge_memory(memory, 0.6, None))
    assert undecided.endswith("budget 0.6: INCONCLUSIVE, the readings lie on both sides of it")
    once = compute_memory_ratio(TEACHER[:1], VARIANT[:1])
    assert format_memory_message("a", once, None) == "a: peak memory 60.0 vs 100.0 MB, 0.600 of the teacher's"


def test_a_limit_that_the_readings_just_reach_is_not_decided() -> None:
    ratio = compute_memory_ratio([100] * READINGS, [50, 60, 60, 60, 60, 70])
    assert judge_memory(ratio, 0.5, None).verdict is Verdict.INCONCLUSIVE
    assert judge_memory(ratio, 0.7, None).verdict is Verdict.PASS
    assert judge_memory(ratio, 0.49, None).verdict is Verdict.FAIL


def test_the_line_does_not_round_a_reading_to_its_budget() -> None:
    memory = compute_memory_ratio([10_000] * READINGS, [5_900, *[5_950] * (READINGS - 2), 6_002])
    line = format_memory_message("int8", memory, judge_memory(memory, 0.6, None))
    assert "0.5950 of the teacher's [0.5900, 0.6002] (n=6 processes), budget 0.6: INCONCLUSIVE" in line


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(1.2, Verdict.PASS), (1.19, Verdict.INCONCLUSIVE), (1.1, Verdict.INCONCLUSIVE), (1.09, Verdict.FAIL)],
)
def test_a_limit_at_an_end_of_the_spread(limit: float, verdict: Verdict) -> None:
    memory = compute_memory_ratio([1000] * READINGS, [1100, *[1150] * (READINGS - 2), 1200])
    assert memory.spread == (1.1, 1.2)
    assert judge_memory(memory, limit, None).verdict is verdict
