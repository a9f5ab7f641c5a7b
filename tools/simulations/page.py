"""The markdown page of a simulation: the command that wrote it, its text, its tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan, sqrt
from pathlib import Path
from time import process_time

# The share of wrong PASS (or FAIL) that a verdict may have: 5 %, and what discrete counts add to it.
TARGET = 0.06
# The coverage that a two-sided 90 % interval may have.
COVERAGE = (0.87, 0.93)


@dataclass(frozen=True)
class Options:
    """reps: simulated runs of a cell; seed: of the whole page; each cell derives another seed from it.

    began: the CPU seconds of this process at the start of the page.
    """

    reps: int
    seed: int
    began: float = field(default_factory=process_time, compare=False)


def run(name: str, page: Callable[[Options], str], *, reps: int) -> None:
    """Reads --reps, --seed and --out, prints the page, and writes it to --out if it is given."""
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

    It must be called after the simulation, because it states the CPU minutes.
    """
    command = f"python -m tools.simulations.{name} --reps {options.reps} --seed {options.seed}"
    minutes = (process_time() - options.began) / 60
    return (
        f"# {title}\n\n    {command}\n\n"
        f"Seed {options.seed}, {options.reps:,} runs a cell, {minutes:.1f} minutes of one core. "
        f"Monte Carlo standard error: {error}\n\n{text}\n"
    )


def format_error_at_5(reps: int) -> str:
    """Formats the standard error of a share of 5 % over `reps` runs, such as `0.22 points at 5 %`."""
    return f"{100 * compute_standard_error(0.05, reps):.2f} points at 5 %"


def format_errors(reps: int) -> str:
    """Formats the standard errors of wrong verdicts and of the coverage."""
    return f"{format_error_at_5(reps)}, {100 * compute_standard_error(0.9, reps):.2f} points at 90 %."


def compute_standard_error(share: float, reps: int) -> float:
    """The standard error of a share of `reps` independent runs."""
    return sqrt(share * (1 - share) / reps)


def format_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Formats a markdown table with all columns aligned to the right."""
    from tabulate import tabulate

    body = [[str(cell) for cell in row] for row in rows]
    align = ["right"] * len(header)
    return "\n" + tabulate(body, header, "pipe", disable_numparse=True, colalign=align) + "\n"


def format_percent(share: float, *, limit: float | None = None, reps: int | None = None) -> str:
    """Formats a share as `5.2`, bold if it is above `limit` by more than chance, NaN as `-`.

    reps: the runs behind the share, which allow two standard errors; None if the share is exact.
    """
    if isnan(share):
        return "-"
    shown = f"{100 * share:.1f}"
    return f"**{shown}**" if limit is not None and share > limit + compute_allowance(limit, reps) else shown


def compute_allowance(share: float, reps: int | None) -> float:
    """Two standard errors of a share of `reps` runs; 0 for an exact share."""
    return 0.0 if reps is None else 2 * compute_standard_error(share, reps)


def format_coverage(covered: float, reps: int, *, is_nominal: bool) -> str:
    """Formats a coverage, bold outside 87 to 93 % by more than chance; above only if `is_nominal`."""
    low, high = COVERAGE
    outside = covered < low - compute_allowance(low, reps) or (
        is_nominal and covered > high + compute_allowance(high, reps)
    )
    return f"**{100 * covered:.1f}**" if outside else format_percent(covered)
