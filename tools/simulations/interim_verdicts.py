"""How often a log that is judged while it grows is wrong, and how many samples that saves.

python -m tools.simulations.interim_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import nan

import numpy as np

from slimgate.judge.decision import ALPHA
from slimgate.judge.family import compute_analysis_rows
from slimgate.judge.paired import compute_paired_p_value
from slimgate.judge.power import VerdictShares, simulate_analyses
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import Rates, Simulated, format_worst_cells, simulate_in_rounds

NAME = "interim_verdicts"
ANALYSES = (1, 2, 4, 10)
ROWS = (200, 1_319, 14_042)
FLIPS = (0.02, 0.08, 0.30)
MARGINS = (0.01, 0.02, 0.05)
# The first number of rows, the share that changes, and the margin of targets that are judged repeatedly.
AGAIN = ((500, 0.08, 0.02), (2_000, 0.05, 0.01))
JUDGEMENTS = 5


@dataclass(frozen=True)
class Cell:
    """Analyses of a log. late: all but the last come late, at a random number of rows before the next."""

    analyses: int
    late: bool
    n: int
    psi: float
    margin: float

    @property
    def label(self) -> str:
        when = "late" if self.late else "in time"
        analyses = f"{self.analyses} analyses {when}"
        return f"{analyses}, n {self.n:,}, psi {self._percent}, margin {100 * self.margin:g}"

    @property
    def _percent(self) -> str:
        return f"{100 * self.psi:g} %"


@dataclass(frozen=True)
class AnalysisRates:
    """Targets with a drop of 0, of the budget, and of twice the budget; None if too few rows change."""

    equal: VerdictShares
    at_budget: VerdictShares | None
    twice: VerdictShares | None

    @property
    def worst(self) -> float:
        """The larger rate of wrong verdicts: PASS of a target that lost the budget, FAIL of an equal one."""
        return max(0.0 if self.at_budget is None else self.at_budget.passes, self.equal.fails)


def list_cells() -> Iterator[Cell]:
    for analyses in ANALYSES:
        for late in (False, True) if analyses > 1 else (False,):
            for n in ROWS:
                for psi in FLIPS:
                    yield from (Cell(analyses, late, n, psi, margin) for margin in MARGINS)


def simulate_cell(cell: Cell, seed: int, runs: int, number: int) -> AnalysisRates:
    """Simulates a cell. number: of the round; each round draws other samples."""
    drawn = (cell.analyses, int(cell.late), cell.n, round(1e4 * cell.psi), round(1e4 * cell.margin))
    rng = np.random.default_rng([seed, number, *drawn])
    rows = list(compute_analysis_rows(cell.n, cell.analyses))
    if cell.late:
        rows = [*(int(rng.integers(due, after)) for due, after in pairwise(rows)), cell.n]

    def simulate_drop(drop: float) -> VerdictShares | None:
        return None if drop > cell.psi else simulate_analyses(rng, rows, cell.psi, cell.margin, drop, runs)

    equal = simulate_drop(0.0)
    assert equal is not None
    return AnalysisRates(equal, simulate_drop(cell.margin), simulate_drop(2 * cell.margin))


def count_passes_at_each_judgement(
    rng: np.random.Generator, rows: Sequence[int], psi: float, margin: float, runs: int
) -> list[float]:
    """The share of targets at their budget that passed up to each judgement at a level of 5 %.

    rows: the number of rows at each judgement. A target with a verdict is not judged again.
    """
    passed = np.zeros(len(rows))
    for _ in range(runs):
        lost = gained = earlier = 0
        for judgement, n in enumerate(rows):
            chances = [(psi + margin) / 2, (psi - margin) / 2, 1 - psi]
            more_lost, more_gained, _ = rng.multinomial(n - earlier, chances)
            lost, gained, earlier = lost + int(more_lost), gained + int(more_gained), n
            if compute_paired_p_value(lost, gained, n, margin) <= ALPHA:
                passed[judgement:] += 1
                break
            if compute_paired_p_value(gained, lost, n, -margin) <= ALPHA:
                break
    return [float(share) for share in passed / runs]


def format_again_table(options: Options) -> str:
    """Formats the table of targets that are judged again and again, each time with twice as many rows."""
    lines, runs = [], max(1, options.reps // 5)
    for number, (n, psi, margin) in enumerate(AGAIN):
        rng = np.random.default_rng([options.seed, number])
        rows = [n * 2**again for again in range(JUDGEMENTS)]
        shares = count_passes_at_each_judgement(rng, rows, psi, margin, runs)
        lines.append([f"{n:,}", f"{100 * psi:g}", f"{100 * margin:g}", *map(format_percent, shares)])
    header = [
        "first n",
        "psi, %",
        "margin, points",
        *(f"{count} judged, %" for count in range(1, JUDGEMENTS + 1)),
    ]
    return _AGAIN_TEXT.format(runs) + format_table(header, lines)


def make_page(options: Options) -> str:
    simulated = simulate_in_rounds(
        list_cells(),
        lambda cell, runs, number: simulate_cell(cell, options.seed, runs, number),
        lambda rates: rates.worst,
        reps=options.reps,
    )
    text = format_head(
        "Interim analyses: a log that is judged while it grows",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated if cell.cell.analyses > 1])
    text += "\n## Every cell\n" + format_table(_HEADER, map(_format_row, simulated))
    return text + format_again_table(options)


def _make_rates(simulated: Simulated[Cell, AnalysisRates]) -> Rates:
    rates = simulated.result
    false_pass = nan if rates.at_budget is None else rates.at_budget.passes
    where = simulated.cell.label
    return Rates("interim analyses of a log", where, false_pass, rates.equal.fails, simulated.runs)


def _format_row(simulated: Simulated[Cell, AnalysisRates]) -> list[str]:
    cell, runs = simulated.cell, simulated.runs
    at_budget, equal, twice = simulated.result.at_budget, simulated.result.equal, simulated.result.twice
    return [
        str(cell.analyses),
        "late" if cell.late else "in time",
        f"{cell.n:,}",
        f"{100 * cell.psi:g}",
        f"{100 * cell.margin:g}",
        "-" if at_budget is None else format_percent(at_budget.passes, limit=TARGET, reps=runs),
        "-" if at_budget is None else format_percent(at_budget.fails),
        format_percent(equal.fails, limit=TARGET, reps=runs),
        format_percent(equal.passes),
        format_percent(1 - equal.rows / cell.n),
        "-" if twice is None else format_percent(twice.fails),
        "-" if twice is None else format_percent(1 - twice.rows / cell.n),
    ]


_HEADER = (
    "analyses",
    "when",
    "n",
    "psi, %",
    "margin, points",
    "at the margin: PASS, %",
    "at the margin: FAIL, %",
    "equal: FAIL, %",
    "equal: PASS, %",
    "equal: rows saved, %",
    "twice the margin: FAIL, %",
    "twice the margin: rows saved, %",
)
_TEXT = """\
A target changes a share psi of the samples. Tango's test judges it in each analysis, at the level of that
analysis, until one decides. A target that has truly lost the margin should pass in at most 5 % of the runs,
and an equal one should fail in no more. "late": each analysis but the last comes at a random number of
samples before the next one is due, with the level of the analysis that was due. Rows saved: the mean share of
the samples that need not be run.
"""
_AGAIN_TEXT = """
## Judged again with more samples, without a plan

A target that has truly lost the margin is judged at 5 %. While the verdict is INCONCLUSIVE, the number of
samples is doubled, and all samples are judged again at 5 %. The share of {:,} targets that passed so far:
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=5_000)
