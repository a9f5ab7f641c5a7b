"""Which models report.md recommends: the smallest and the fastest, and promises that do not hold."""

from __future__ import annotations

import pytest
from support.report_sections import read_row
from support.sample_record import (
    FAIL,
    MEASURED,
    PASS,
    TEACHER_BYTES,
    make_artifact,
    make_latency,
    make_quality,
    make_record_of,
    make_record_of_one,
    make_sample_record,
    make_variant,
)

from slimgate.record.build import ClaimFacts
from slimgate.report import format_suite_report
from slimgate.report.status import choose_workloads
from slimgate.report.terminal.summary import join_line, make_summary_table
from slimgate.results.base import BudgetFacts
from slimgate.results.figures import SizeFacts
from slimgate.results.self_test import PlantedDelay, SelfTest

GOOD = {"accuracy": make_quality("x", "accuracy", 0.1, (-0.2, 0.4), PASS)}


def test_the_smallest_and_fastest_passing_models_are_named() -> None:
    report = format_suite_report(make_sample_record())
    line = "Ship **distilled-int8**, the smallest and fastest inside its budgets: 18.4 MB (4.7× smaller), "
    assert f"- {line}2.31× [2.25, 2.38] as fast on batch 1, 31.9 ms on batch 32 × 32 tokens" in report
    assert "- Its quality: accuracy 0.824 (drop 0.5 [0.0, 1.1]), f1_macro" in report


def test_the_fastest_is_the_one_whose_duel_proves_most() -> None:
    noisy = make_latency(2.0, speedup=2.5, speedup_interval=(1.1, 5.0))
    sure = make_latency(3.0, speedup=2.0, speedup_interval=(1.9, 2.1))
    models = [
        make_variant("noisy", quality=GOOD, latency={"b1": noisy}, artifact=make_artifact(10, 10)),
        make_variant("sure", quality=GOOD, latency={"b1": sure}, artifact=make_artifact(20, 10)),
    ]
    report = format_suite_report(make_record_of(*models))
    assert "- For size, ship **noisy**" in report
    assert "- For speed, ship **sure**: 2.00× [1.90, 2.10] as fast on batch 1." in report


def test_a_smaller_variant_outside_its_budgets_is_not_the_best() -> None:
    failing = make_quality("x", "accuracy", 4.0, (3.0, 5.0), FAIL)
    report = format_suite_report(
        make_record_of_one(artifact=make_artifact(1_000_000, 250_000), quality={"accuracy": failing})
    )
    assert "**Ship nothing**: no variant passed all of its budgets." in report


def test_a_variant_as_slow_as_the_teacher_is_not_called_fast() -> None:
    report = format_suite_report(make_record_of_one(quality=GOOD, latency={"b1": make_latency(9.0)}))
    assert "None is shown to be faster than the teacher on batch 1." in report
    assert "Slower than the teacher: x, batch 1 (9.00 against 6.31 ms)." in report


@pytest.mark.parametrize(
    ("clearance", "words"),
    [
        (None, "None is shown to be faster than the teacher on batch 1."),
        (2.0, "None is shown to be faster than the teacher on batch 1."),
        (1.3, "For speed, ship **small**: 2.00× [1.90, 2.10] as fast on batch 1."),
    ],
    ids=["no delay seen", "only 100 % seen", "30 % seen"],
)
def test_a_speedup_below_a_delay_that_was_not_seen_is_no_reason(clearance: float | None, words: str) -> None:
    """A run whose self-test sees no slow-down must not call a variant the fastest, whatever its figure."""
    delay = PlantedDelay(
        seen=clearance is not None,
        clearance=clearance,
        speedup_interval=(0.7, 1.8),
        message="planted delay",
        workload="b1",
        measured=MEASURED,
    )
    models = [
        make_sample_record().variants[0],
        make_variant("large", quality=GOOD, artifact=make_artifact(10, 10)),
        make_variant(
            "small",
            quality=GOOD,
            latency={"b1": make_latency(3.0, speedup=2.0, speedup_interval=(1.9, 2.1))},
            artifact=make_artifact(20, 10),
        ),
    ]
    report = format_suite_report(make_sample_record(variants=models, self_test=SelfTest(planted_delay=delay)))
    assert f"- {words}" in report
    assert ("small**: 2.00×" in report) is (clearance == 1.3)


def test_a_median_does_not_contradict_the_duel() -> None:
    duelled = make_latency(9.0, speedup=1.0, speedup_interval=(0.9, 1.1))
    report = format_suite_report(make_record_of_one(quality=GOOD, latency={"b1": duelled}))
    assert "Slower than the teacher" not in report
    slower = make_latency(6.0, speedup=0.8, speedup_interval=(0.7, 0.9))
    report = format_suite_report(make_record_of_one(quality=GOOD, latency={"b1": slower}))
    assert "Slower than the teacher: x, batch 1 (0.80× [0.70, 0.90] as fast)." in report


def test_many_workloads_are_counted_instead_of_named() -> None:
    slower = make_latency(6.0, speedup=0.8, speedup_interval=(0.7, 0.9))
    times = {f"b{batch}": slower for batch in (1, 2, 4, 8)}
    record = make_record_of_one(quality=GOOD, latency=times)
    report = format_suite_report(record)
    assert "None is shown to be faster than the teacher on 4 of 5 workloads." in report
    assert "x, batch 2 (0.80× [0.70, 0.90] as fast); x on 2 more workloads." in report
    assert "batch 4 (0.80×" not in report.partition("## Variants")[0]
    head, _, _, line = map(join_line, make_summary_table(record, ""))
    assert "speed-up (batch 1 / batch 32 × 32 tokens)" in head
    assert "0.80× [0.70, 0.90] / – / 3 more" in line


def test_tables_show_the_workloads_with_budgets_before_others() -> None:
    budget = BudgetFacts(kind="speedup_min", limit=2.0, verdict=PASS)
    plain, judged = make_latency(3.0, speedup=2.0), make_latency(3.0, speedup=3.0, budgets=[budget])
    record = make_record_of_one(latency={"b1": plain, "b2": plain, "b8": judged})
    assert choose_workloads(record) == ["b1", "b8"]
    assert "speed-up, batch 8" in format_suite_report(record)


def test_a_variant_whose_duel_shows_nothing_is_not_called_fast() -> None:
    duelled = make_latency(3.0, speedup=1.8, speedup_interval=(0.3, 7.5))
    report = format_suite_report(make_record_of_one(quality=GOOD, latency={"b1": duelled}))
    assert "None is shown to be faster than the teacher on batch 1." in report


def test_a_promise_that_does_not_hold_is_named() -> None:
    claims = [
        ClaimFacts(step="int8_dynamic", claim="smaller", held=False, message="100 -> 120 bytes"),
        ClaimFacts(step="int8_dynamic", claim="faster", held=None, message="not timed yet"),
        ClaimFacts(step="int8_dynamic", claim="sparser", held=True, message="9 -> 8"),
    ]
    report = format_suite_report(make_record_of_one(claims=claims))
    assert (
        "- **x: int8_dynamic promises a smaller artifact and does not deliver it**: 100 -&gt; 120 bytes."
        in report
    )
    assert "promises a faster" not in report
    assert "promises fewer" not in report


def test_a_variant_as_large_as_the_teacher_is_not_called_small() -> None:
    report = format_suite_report(
        make_record_of_one(quality=GOOD, artifact=make_artifact(TEACHER_BYTES, 22_714_756))
    )
    assert "Ship **x**: inside all budgets, but not smaller than the teacher." in report


def test_a_variant_larger_than_the_teacher_is_called_larger() -> None:
    size = SizeFacts(compression=0.5, measured="now")
    assert "174.8 (2.0× larger)" in read_row(
        format_suite_report(make_record_of_one(artifact=make_artifact(2 * TEACHER_BYTES, 9), size=size)), "x"
    )
