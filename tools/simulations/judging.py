"""Draws rows of a population again and again, has slimgate judge them, and counts its verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.metrics import load_metric
from tools.simulations.page import TARGET, Options, format_coverage, format_percent, format_table
from tools.simulations.populations import Population
from tools.simulations.rounds import Rates, Simulated, simulate_in_rounds

HEADER = ("n", "margin, points", "PASS, %", "FAIL, %", "coverage, %", "refused, %", "runs")
NOTE = """\
Coverage is that of the two-sided 90 % interval; refused: the metric was not defined on the rows or in too
many resamples, so that no verdict was given. Bold: PASS or FAIL above 6 %, coverage outside 87 to 93 %
(above 93 % is allowed below 1,000 rows or 1 % of changes), each by more than two standard errors.
"""


@dataclass(frozen=True)
class Shares:
    """Shares of the runs: PASS, FAIL, intervals that hold the true drop, and runs refused as undefined.

    The first three are shares of the runs that were not refused.
    """

    passed: float
    failed: float
    covered: float
    refused: float

    @property
    def worst(self) -> float:
        return max(self.passed, self.failed)


@dataclass(frozen=True)
class Cell:
    """A population and a number of rows. names: of rows and variant; psi: the share of rows that change."""

    names: tuple[str, ...]
    population: Population
    n: int
    psi: float

    def simulate(self, reps: int, *, seed: int, resamples: int | None = None) -> Shares:
        return judge_often(self.population, self.n, reps=reps, seed=seed + self.n, resamples=resamples)


def judge_often(
    population: Population,
    n: int,
    *,
    reps: int,
    seed: int,
    resamples: int | None = None,
    margin: float | None = None,
) -> Shares:
    """Judges `reps` draws of n rows. margin: a fraction; None takes the true drop, at which PASS is wrong."""
    rng = np.random.default_rng(seed)
    metric, drop = load_metric(population.metric), population.drop
    budget = QualityBudget("drop_points", 100 * (drop if margin is None else margin))
    sums = np.zeros(3)
    refused = 0
    for run in range(reps):
        try:
            judgement = judge_quality(
                metric, *population.draw(rng, n), [budget], seed=run, resamples=resamples
            )
        except MeasureError:
            refused += 1
            continue
        low, high = judgement.interval or (np.nan, np.nan)
        sums += (
            judgement.verdict is Verdict.PASS,
            judgement.verdict is Verdict.FAIL,
            low <= 100 * drop <= high,
        )
    passed, failed, covered = (sums / max(reps - refused, 1)).tolist()
    return Shares(passed, failed, covered, refused / reps)


def judge_cells(
    cells: Iterable[Cell], options: Options, *, resamples: int | None = None
) -> list[Simulated[Cell, Shares]]:
    """Simulates each cell in up to three rounds, each of which draws other rows."""
    return simulate_in_rounds(
        cells,
        lambda cell, reps, number: cell.simulate(
            reps, seed=options.seed + number * 1_000_003, resamples=resamples
        ),
        lambda shares: shares.worst,
        reps=options.reps,
    )


def format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    """The names of a cell, then the values of HEADER."""
    cell, shares, runs = simulated.cell, simulated.result, simulated.runs or 1
    return [
        *cell.names,
        f"{cell.n:,}",
        f"{100 * cell.population.drop:.2f}",
        format_percent(shares.passed, limit=TARGET, reps=runs),
        format_percent(shares.failed, limit=TARGET, reps=runs),
        format_coverage(shares.covered, runs, is_nominal=cell.n >= 1000 and cell.psi >= 0.01),
        format_percent(shares.refused),
        f"{runs:,}",
    ]


def make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    """Makes the rates of a cell for the summary."""
    cell, shares = simulated.cell, simulated.result
    where = f"{', '.join(cell.names)}, n {cell.n:,}"
    return Rates(f"{cell.population.metric} drop_points", where, shares.passed, shares.failed, simulated.runs)


def format_identical_table(
    populations: Mapping[str, Population], options: Options, *, resamples: int | None = None
) -> str:
    """A table of variants that change 0.1 % of 6,000 rows, which a judge that is not too strict passes."""
    rows, runs = [], max(1, options.reps // 10)
    for name, population in populations.items():
        judged = judge_often(population, 6000, reps=runs, seed=options.seed, resamples=resamples, margin=0.01)
        rows.append([name, format_percent(judged.passed), format_percent(judged.failed)])
    title = "A nearly identical variant: 0.1 % of 6,000 rows change, true drop 0, margin 1 point"
    return f"\n## {title} ({runs:,} runs)\n" + format_table(["rows", "PASS, %", "FAIL, %"], rows)
