"""Runs every cell of a simulation, repeats those that look bad, and names the worst cell of each rule.

The worst of many cells is above its error rate by chance alone: of 300 cells with 100 runs and a true rate of
5 %, some 70 show more than 6 %. So these cells are simulated again with more runs, and only the new runs
count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Generic, TypeVar

from tools.simulations.page import TARGET, format_percent, format_table

Cell = TypeVar("Cell")
Result = TypeVar("Result")

# The number of the worst cells that are run again even if none is above the target.
WORST = 20
# The runs of each round, as multiples of those of the first.
TIMES = (1, 5, 15)
RUN_AGAIN = f"""\
Cells above 6 %, and the {WORST} worst, were run again with {TIMES[1]} times as many runs, those still above
6 % with {TIMES[2]} times as many; the last round counts alone."""


@dataclass(frozen=True)
class Simulated(Generic[Cell, Result]):
    """A cell, the result of its last round, and the number of runs in it; None if the result is exact."""

    cell: Cell
    result: Result
    runs: int | None


def simulate_in_rounds(
    cells: Iterable[Cell],
    simulate: Callable[[Cell, int, int], Result],
    worst: Callable[[Result], float],
    *,
    reps: int,
    times: Sequence[int] = TIMES,
) -> list[Simulated[Cell, Result]]:
    """Simulates all cells, and the worst of them again with more runs.

    simulate(cell, runs, number of the round) -> result; worst(result) -> its largest rate of wrong verdicts.

    times: how many times `reps` each round has.
    After the first round the cells above TARGET and the WORST worst are run again; after the second those
    that are still above it.
    """
    done = [Simulated(cell, simulate(cell, reps, 0), reps) for cell in cells]
    for number in range(1, len(times)):
        by_rate = sorted(range(len(done)), key=lambda index: -worst(done[index].result))
        at_least = WORST if number == 1 else 0
        for place, index in enumerate(by_rate):
            is_latest = done[index].runs == reps * times[number - 1]
            if is_latest and (place < at_least or worst(done[index].result) > TARGET):
                runs = reps * times[number]
                cell = done[index].cell
                done[index] = Simulated(cell, simulate(cell, runs, number), runs)
    return done


def simulate_cells(cells: Iterable[Any], *, reps: int) -> list[Simulated[Any, Any]]:
    """`simulate_in_rounds` of cells with `simulate(runs, again=number)`, whose result has `worst`."""
    return simulate_in_rounds(
        cells,
        lambda cell, runs, number: cell.simulate(runs, again=number),
        lambda shares: shares.worst,
        reps=reps,
    )


@dataclass(frozen=True)
class Rates:
    """The rates of a cell that the summary needs.

    rule: a metric and its kind of budget, or another rule; cell: its settings. false_pass: PASS of a variant
    that is exactly at its limit; false_fail: FAIL of an equal variant, or of a variant at its limit if that
    was simulated; NaN if neither was. runs: None if the rates are exact.
    """

    rule: str
    cell: str
    false_pass: float
    false_fail: float
    runs: int | None


WORST_TITLE = "## The worst cell of each rule"
WORST_HEADER = ("rule", "cells", "false PASS, %", "in", "runs", "false FAIL, %", "in", "runs")


def format_worst_cells(rates: Sequence[Rates]) -> str:
    """Formats the section with the worst cells, which the summary page copies."""
    rows = []
    for rule in dict.fromkeys(rate.rule for rate in rates):
        rule_rates = [rate for rate in rates if rate.rule == rule]
        line = [rule, str(len(rule_rates))]
        for name in ("false_pass", "false_fail"):
            line += _format_worst_cell(rule_rates, name)
        rows.append(line)
    return f"\n{WORST_TITLE}\n" + format_table(WORST_HEADER, rows)


def _format_worst_cell(rates: Sequence[Rates], name: str) -> list[str]:
    known = [rate for rate in rates if not isnan(getattr(rate, name))]
    if not known:
        return ["-", "-", "-"]
    worst = max(known, key=lambda rate: getattr(rate, name))
    share = format_percent(getattr(worst, name), limit=TARGET, reps=worst.runs)
    return [share, worst.cell, "exact" if worst.runs is None else f"{worst.runs:,}"]
