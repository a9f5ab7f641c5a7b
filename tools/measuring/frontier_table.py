"""The tables of reports/frontier.md, from the records of its suites.

    python -m tools.measuring.frontier_table RUN.json …

For each record: the variants with their drop (over all builds if these are judged together, on the confirm
rows if these were read); their speed-ups by duel, of the forward call and from text; and the fastest forward
call next to the time of its products at the machine's measured peaks. Then, for each record and number of
points: the variant inside this drop whose smallest lower bound is the largest, for both clocks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from slimgate._system.number_text import format_fixed
from slimgate.record.run import RunRecord, VariantRecord, read_record
from slimgate.record.task import Rates
from slimgate.report.peaks import compute_peak_ms, find_rates
from slimgate.results.checks import TEACHER
from slimgate.results.latency import LatencyFacts

METRIC = "accuracy"
POINTS = (1.0, 2.0, 5.0)
FROM_TEXT = "-e2e"
CLOCKS = {False: "forward call", True: "from text"}
MIB = 2**20


@dataclass(frozen=True)
class Drop:
    """A drop in points, with its 90 % interval. rows: the split that it was measured on."""

    points: float
    interval: tuple[float, float]
    rows: str


def find_drop(variant: VariantRecord) -> Drop | None:
    """The drop of a variant; None for the teacher, and for a variant that was not judged."""
    for rows, facts in (("confirm", variant.confirm.get(METRIC)), ("gate", variant.quality.get(METRIC))):
        if facts is None or facts.drop_points is None or facts.interval is None:
            continue
        for budget in facts.budgets:
            if budget.builds is not None and budget.value is not None and budget.interval is not None:
                return Drop(budget.value, budget.interval, rows)
        return Drop(facts.drop_points, facts.interval, rows)
    return None


def select_duels(variant: VariantRecord, *, from_text: bool) -> dict[str, LatencyFacts]:
    """The workloads with a duel by one of the two clocks."""
    return {
        name.removesuffix(FROM_TEXT): facts
        for name, facts in variant.latency.items()
        if name.endswith(FROM_TEXT) == from_text and facts.speedup_interval is not None
    }


def format_record(record: RunRecord) -> Iterator[str]:
    """The tables of one run: quality and size of each variant, and speed-ups by both clocks if it has any."""
    judged = [variant for variant in record.variants if find_drop(variant)]
    yield _format_table(
        ["variant", "MB", "times smaller", "drop, points", "rows"], map(_format_quality, judged)
    )
    variants = [variant for variant in record.variants if select_duels(variant, from_text=False)]
    if not variants:
        return
    for from_text, clock in CLOCKS.items():
        duels = {variant.name: select_duels(variant, from_text=from_text) for variant in variants}
        workloads = list(dict.fromkeys(name for by_workload in duels.values() for name in by_workload))
        lines = (
            [name, *(_format_speed(by_workload.get(workload)) for workload in workloads)]
            for name, by_workload in duels.items()
        )
        yield _format_table([clock, *workloads], lines)
    teacher = [variant for variant in record.variants if variant.name == TEACHER]
    timed = {
        variant.name: _format_peak_times(variant, find_rates(record.machine))
        for variant in (*teacher, *variants)
    }
    workloads = list(dict.fromkeys(name for by_workload in timed.values() for name in by_workload))
    lines = (
        [name, *(by_workload.get(workload, "") for workload in workloads)]
        for name, by_workload in timed.items()
    )
    yield _format_table(["ms at the peaks / ms", *workloads], lines)


def format_goals(records: Sequence[RunRecord]) -> str:
    """A row for each number of points, record and clock, with the bounds of the best variant's workloads."""
    lines = []
    for points in POINTS:
        for record in records:
            inside = [variant for variant in record.variants if _is_inside(variant, points)]
            for from_text, clock in CLOCKS.items():
                bounds = {
                    variant.name: _list_lower_bounds(variant, from_text=from_text) for variant in inside
                }
                able = [name for name, lowest in bounds.items() if lowest]
                best = max(able, key=lambda name: min(bounds[name]), default=None)
                shown = ", ".join(f"{bound:.3g}" for bound in bounds[best]) if best else ""
                lines.append([f"{points:g}", Path(record.suite.path).stem, clock, best or "none", shown])
    return _format_table(["points", "suite", "clock", "variant", "lower bounds"], lines)


def _is_inside(variant: VariantRecord, points: float) -> bool:
    drop = find_drop(variant)
    return drop is not None and drop.interval[1] <= points


def _list_lower_bounds(variant: VariantRecord, *, from_text: bool) -> list[float]:
    duels = select_duels(variant, from_text=from_text).values()
    return [facts.speedup_interval[0] for facts in duels if facts.speedup_interval is not None]


def _format_peak_times(variant: VariantRecord, rates: Rates | None) -> dict[str, str]:
    """By workload: the time of the products at the peaks / the fastest forward call."""
    least = {
        name: (compute_peak_ms(variant, name, rates), facts.min_ms)
        for name, facts in variant.latency.items()
        if not name.endswith(FROM_TEXT)
    }
    return {
        name: f"{peak:.3g} / {took:.3g}" for name, (peak, took) in least.items() if peak and took is not None
    }


def _format_quality(variant: VariantRecord) -> list[str]:
    stored = variant.artifact.bytes if variant.artifact is not None else None
    smaller = variant.size.compression if variant.size is not None else None
    drop = find_drop(variant)
    return [
        variant.name,
        f"{stored / MIB:.3g}" if stored else "",
        f"{smaller:.3g}" if smaller else "",
        *(_format_drop(drop) if drop else ("", "")),
    ]


def _format_drop(drop: Drop) -> tuple[str, str]:
    """The cells of the drop and of its split."""
    points, low, high = (format_fixed(number, 1) for number in (drop.points, *drop.interval))
    return f"{points} [{low}, {high}]", drop.rows


def _format_speed(facts: LatencyFacts | None) -> str:
    if facts is None or facts.speedup is None or facts.speedup_interval is None:
        return ""
    low, high = facts.speedup_interval
    return f"{facts.speedup:.3g} [{low:.3g}, {high:.3g}]"


def _format_table(heads: Sequence[str], lines: Iterator[list[str]] | Sequence[list[str]]) -> str:
    return tabulate(list(lines), heads, "pipe", disable_numparse=True)


def main(files: Sequence[str]) -> None:
    """Writes the tables to stdout."""
    records = [read_record(Path(file)) for file in files]
    for record in records:
        sys.stdout.write(f"## {record.suite.title}\n\n" + "\n\n".join(format_record(record)) + "\n\n")
    sys.stdout.write("## The best inside each number of points\n\n" + format_goals(records) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
