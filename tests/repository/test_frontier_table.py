"""The tables of reports/frontier.md are of the confirm rows, over builds, and of one variant each."""

from __future__ import annotations

import pytest
from support.report_sections import read_table, split_row
from support.sample_record import make_sample_record

from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import PeakRates, Rates
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.figures import FlopsFacts
from slimgate.results.latency import LatencyFacts
from tools.measuring.frontier_table import Drop, find_drop, format_goals, format_record, select_duels

BUILDS = BudgetFacts(
    kind="drop_points", limit=2.0, verdict=Verdict.PASS, builds=3, value=0.7, interval=(0.2, 1.4)
)


def variant(name: str, drop: float, bounds: dict[str, float]) -> VariantRecord:
    """Of the sample's student: with a drop that is known to 0.5 points, and duels with these lower bounds."""
    [student] = [model for model in make_sample_record().variants if model.name == "student"]
    timed = student.latency["b1"]
    quality = student.quality["accuracy"].model_copy(
        update={"drop_points": drop, "interval": (drop - 0.5, drop + 0.5), "budgets": []}
    )
    return student.model_copy(
        update={
            "name": name,
            "quality": {"accuracy": quality},
            "confirm": {},
            "latency": {workload: _timed(timed, bound) for workload, bound in bounds.items()},
        }
    )


def _timed(facts: LatencyFacts, bound: float) -> LatencyFacts:
    return facts.model_copy(update={"speedup": bound + 1, "speedup_interval": (bound, bound + 2)})


@pytest.fixture
def record() -> RunRecord:
    slow = variant("slow", 0.1, {"b1": 4.0, "b32x32": 5.0, "b1-e2e": 3.0})
    even = variant("even", 1.2, {"b1": 9.0, "b32x32": 8.0, "b1-e2e": 2.0})
    uneven = variant("uneven", 1.3, {"b1": 30.0, "b32x32": 7.0})
    return make_sample_record(variants=[slow, even, uneven])


def test_a_drop_is_of_confirm_rows_and_over_builds_if_any() -> None:
    plain = variant("plain", 1.0, {})
    assert find_drop(plain) == Drop(1.0, (0.5, 1.5), "gate")
    confirmed = plain.quality["accuracy"].model_copy(update={"budgets": [BUILDS]})
    assert find_drop(plain.model_copy(update={"confirm": {"accuracy": confirmed}})) == Drop(
        0.7, (0.2, 1.4), "confirm"
    )
    assert find_drop(plain.model_copy(update={"quality": {}})) is None


def test_the_two_clocks_are_apart(record: RunRecord) -> None:
    slow = record.variants[0]
    assert list(select_duels(slow, from_text=False)) == ["b1", "b32x32"]
    assert list(select_duels(slow, from_text=True)) == ["b1"]


def test_the_goals_are_of_the_variant_of_the_largest_least_bound(record: RunRecord) -> None:
    lines = read_table(format_goals([record]))
    assert [(line[0], line[2], line[3], line[4]) for line in lines[1:]] == [
        ("1", "forward call", "slow", "4, 5"),
        ("1", "from text", "slow", "3"),
        ("2", "forward call", "even", "9, 8"),
        ("2", "from text", "slow", "3"),
        ("5", "forward call", "even", "9, 8"),
        ("5", "from text", "slow", "3"),
    ]


def test_nothing_inside_is_said(record: RunRecord) -> None:
    only = record.model_copy(update={"variants": [variant("bad", 9.0, {"b1": 90.0})]})
    assert format_goals([only]).count("none") == 6


def test_a_table_has_a_line_a_variant_and_a_gap_if_not_timed(record: RunRecord) -> None:
    quality, forward, from_text, _ = format_record(record)
    assert "1.2 [0.7, 1.7]" in quality
    assert "31 [30, 32]" in forward
    [uneven] = [line for line in from_text.splitlines() if "uneven" in line]
    assert split_row(uneven) == ["uneven", ""]


def test_a_run_without_times_has_the_table_of_drops_alone(record: RunRecord) -> None:
    [quality] = format_record(record.model_copy(update={"variants": [variant("untimed", -0.01, {})]}))
    assert "| untimed" in quality
    assert "| 0.0 [-0.5, 0.5]" in quality


def test_the_peaks_are_held_against_the_fastest_call(record: RunRecord) -> None:
    timed = record.variants[0].latency["b1"].model_copy(update={"min_ms": 2.0, "tokens": 25, "threads": 2})
    counted = FlopsFacts(
        flops=2_000_000, macs=1_000_000, macs_by_type={"int8": 1_000_000}, tokens=25, ratio=0.1, measured=""
    )
    model = record.variants[0].model_copy(update={"latency": {"b1x25": timed}, "flops": counted})
    rates = Rates(threads=2, int8_gop_per_s=100.0, memory_gb_per_s=10.0)
    machine = record.machine.model_copy(
        update={"peak_rates": PeakRates(all_threads=rates, seconds=1.0, measured="")}
    )
    *_, peaks = format_record(record.model_copy(update={"variants": [model], "machine": machine}))
    assert "| slow" in peaks
    assert "0.02 / 2" in peaks  # 2 million operations at 100 billion a second
