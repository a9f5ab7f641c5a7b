"""The markdown page of a simulation: how it was made, what is in it, its tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan, sqrt
from pathlib import Path
from time import process_time

# The share of wrong PASS (or FAIL) that a verdict may have: its 5 % and what a discrete count adds to it.
TARGET = 0.06
# Of a two-sided 90 % interval.
COVERAGE = (0.87, 0.93)


@dataclass(frozen=True)
class Options:
    """reps: simulated runs of a cell; seed: of the whole page, each cell draws from a child of its own.

    began: the CPU seconds of this process when the page was begun.
    """

    reps: int
    seed: int
    began: float = field(default_factory=process_time, compare=False)


def run(name: str, page: Callable[[Options], str], *, reps: int) -> None:
    """Reads --reps, --seed and --out, prints the page and writes it to --out where that is given."""
    parser = argparse.ArgumentParser(prog=f"python -m tools.simulations.{name}")
    parser.add_argument("--reps", type=int, default=reps, help=f"runs of a cell (default {reps:,})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="markdown file to write")
    options = parser.parse_args()
    if options.reps < 1:
        parser.error(f"--reps is {options.reps}, expected 1 or more")
    text = page(Options(options.reps, options.seed))
    sys.stdout.write(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)


def format_head(title: str, name: str, options: Options, *, error: str, text: str) -> str:
    """The page's title, its command, seed, reps and Monte Carlo standard error, and what it shows.

    Called when the simulation is over: it tells the CPU minutes too.
    """
    command = f"python -m tools.simulations.{name} --reps {options.reps} --seed {options.seed}"
    minutes = (process_time() - options.began) / 60
    return (
        f"# {title}\n\n    {command}\n\n"
        f"Seed {options.seed}, {options.reps:,} runs a cell, {minutes:.1f} minutes of one core. "
        f"Monte Carlo standard error: {error}\n\n{text}\n"
    )


def format_error_at_5(reps: int) -> str:
    """`0.22 points at 5 %`: of a share that is 5 %, over that many runs."""
    return f"{100 * compute_standard_error(0.05, reps):.2f} points at 5 %"


def format_errors(reps: int) -> str:
    """Of the wrong verdicts and of the coverage."""
    return f"{format_error_at_5(reps)}, {100 * compute_standard_error(0.9, reps):.2f} points at 90 %."


def compute_standard_error(share: float, reps: int) -> float:
    """Of a share of `reps` independent runs."""
    return sqrt(share * (1 - share) / reps)


def format_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table with its numbers to the right."""
    from tabulate import tabulate

    body = [[str(cell) for cell in row] for row in rows]
    align = ["right"] * len(header)
    return "\n" + tabulate(body, header, "pipe", disable_numparse=True, colalign=align) + "\n"


def format_percent(share: float, *, limit: float | None = None, reps: int | None = None) -> str:
    """`5.2`; bold where it is above `limit` by more than chance; `-` where there is none.

    reps: the runs that the share is of, for which two standard errors are granted; None where it is exact.
    """
    if isnan(share):
        return "-"
    shown = f"{100 * share:.1f}"
    return f"**{shown}**" if limit is not None and share > limit + compute_allowance(limit, reps) else shown


def compute_allowance(share: float, reps: int | None) -> float:
    """Two standard errors of a share of `reps` runs; none of an exact one."""
    return 0.0 if reps is None else 2 * compute_standard_error(share, reps)


def format_coverage(covered: float, reps: int, *, is_nominal: bool) -> str:
    """Bold outside 87 to 93 % by more than chance; above is allowed where there are few rows or changes."""
    low, high = COVERAGE
    outside = covered < low - compute_allowance(low, reps) or (
        is_nominal and covered > high + compute_allowance(high, reps)
    )
    return f"**{100 * covered:.1f}**" if outside else format_percent(covered)
