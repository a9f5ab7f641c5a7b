"""Measures how the cost of judging grows with the work, fits its slope, and writes reports/cost_growth.md.

    python -m tools.measuring.growth_report --write reports/cost_growth.md

A slope is fitted to the logarithms of size and cost: 1 is linear, 2 is quadratic. It is the slope of the
three largest sizes. A cost under 0.5 seconds has no slope: the start of a process and noise decide it.
Each size runs in a separate process, so that its peak memory is not that of another size.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tabulate import tabulate

from slimgate.run.environment import describe_machine
from tools.measuring.cost_growth import Seconds, measure_rows, measure_slices, measure_variants
from tools.measuring.log_growth import measure_lm_eval_logs, measure_prediction_files

SMALLEST_SECONDS = 0.5
FITTED_SIZES = 3
ROWS_OF_VARIANTS = 10_000
ROWS_OF_SLICES = 1_000_000
INTRODUCTION = """\
# How the cost of judging grows

How many CPU seconds and how much memory slimgate needs to judge and report, by the size of the work.
Models are not computed: their outcomes are made up. Each size runs in a new process.

A slope is fitted to the logarithms of cost and size for the {sizes} largest sizes: 1 is linear, 2 is
quadratic. A dash means that a cost is under {smallest} seconds, which the start of a process decides.

![CPU seconds by size, on logarithmic axes](../docs/plots/cost_growth-light.svg#only-light)
![CPU seconds by size, on logarithmic axes](../docs/plots/cost_growth-dark.svg#only-dark)

Machine: {machine}. `python -m tools.measuring.growth_report --write reports/cost_growth.md` makes this page.
"""


@dataclass(frozen=True)
class Series:
    """A kind of work that grows. size: its unit. measure: size -> cost of each stage, and `peak MB`."""

    title: str
    size: str
    measure: Callable[[int], Seconds]
    sizes: Sequence[int]


SERIES = (
    Series(
        f"Variants of a suite, {ROWS_OF_VARIANTS:,} gate rows each",
        "variants",
        partial(measure_variants, rows=ROWS_OF_VARIANTS),
        (10, 30, 100, 300, 1000),
    ),
    Series("Gate rows of one variant", "gate rows", measure_rows, (10**3, 10**4, 10**5, 300_000, 10**6)),
    Series(
        f"Slices of {ROWS_OF_SLICES:,} gate rows",
        "slices",
        partial(measure_slices, rows=ROWS_OF_SLICES),
        (10, 100, 1000, 10**4, 10**5),
    ),
    Series(
        "Rows of two prediction files (csv)",
        "rows",
        measure_prediction_files,
        (10**3, 10**4, 10**5, 10**6, 3_000_000, 10**7),
    ),
    Series(
        "Samples of two logs of lm-eval (jsonl)",
        "samples",
        measure_lm_eval_logs,
        (10**3, 10**4, 10**5, 300_000, 10**6),
    ),
)


def fit_slope(sizes: Sequence[int], costs: Sequence[float], smallest: float = 0.0) -> float | None:
    """The slope of log cost over log size for the largest sizes, by least squares.

    Args:
        sizes: in ascending order.
        costs: one for each size, in any unit.
        smallest: a cost below this has no slope.

    Returns:
        The slope; None if there are fewer than three sizes, or one of the last three costs is too small.
    """
    last = costs[-FITTED_SIZES:]
    if len(last) < FITTED_SIZES or min(last) < smallest or min(last) <= 0:
        return None
    return float(np.polyfit(np.log(sizes[-FITTED_SIZES:]), np.log(last), 1)[0])


def format_table(title: str, sizes: Sequence[int], costs: Sequence[Mapping[str, float]]) -> str:
    """A Markdown table: a row for each size, and the slopes in the last row."""
    stages = list(costs[0])
    rows = [
        [f"{size:,}", *(f"{cost[stage]:.3g}" for stage in stages)]
        for size, cost in zip(sizes, costs, strict=True)
    ]
    slopes = [
        fit_slope(sizes, [cost[stage] for cost in costs], 0.0 if stage == "peak MB" else SMALLEST_SECONDS)
        for stage in stages
    ]
    rows.append(["**slope**", *("–" if slope is None else f"**{slope:z.2f}**" for slope in slopes)])
    headers = [title, *(stage if stage == "peak MB" else f"{stage}, s" for stage in stages)]
    return tabulate(rows, headers, "pipe", disable_numparse=True)


def measure_series(series: Series, largest: int | None) -> str:
    """The section of the page about one series."""
    sizes = [size for size in series.sizes if largest is None or size <= largest] or series.sizes[:1]
    costs = []
    for size in sizes:
        # spawned, because a forked process begins with the peak of its parent
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            costs.append(alone.apply(series.measure, (size,)))
        sys.stderr.write(f"{series.size} {size:,}: {costs[-1]}\n")
    return f"## {series.title}\n\n{format_table(series.size, sizes, costs)}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the page, or writes it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="file of the page (default: print it)")
    parser.add_argument("--largest", type=int, help="leave out sizes above this")
    options = parser.parse_args(arguments)
    machine = describe_machine(threads=1, device="cpu")
    introduction = INTRODUCTION.format(smallest=SMALLEST_SECONDS, sizes=FITTED_SIZES, machine=machine.cpu)
    page = "\n".join([introduction, *(measure_series(series, options.largest) for series in SERIES)])
    if options.write is None:
        sys.stdout.write(page)
    else:
        options.write.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
