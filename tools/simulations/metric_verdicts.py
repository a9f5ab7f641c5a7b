"""How often the verdict on each metric that can gate is wrong: at the margin, and for an equal variant.

python -m tools.simulations.metric_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.budget_kinds import list_suited_kinds
from slimgate.judge.metrics import load_metric
from tools.simulations.changes import CASES, GROUP, Case
from tools.simulations.equivalence_verdicts import EQUIVALENT_POINTS
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import RUN_AGAIN, Rates, Simulated, format_worst_cells, simulate_cells

NAME = "metric_verdicts"
# With so few resamples, chance moves a bound by 0.2 standard errors, which turns an
# error rate of 5 % into 5.3 %.
RESAMPLES = 300
# Kinds of budgets that are not a drop in points are simulated for these metrics.
OTHER_KINDS = ("accuracy", "f1", "log_loss", "mae")


@dataclass(frozen=True)
class Cell:
    """A metric of a case, a kind of budget and a number of rows."""

    case: Case
    metric: str
    kind: str
    n: int
    seed: tuple[int, ...]

    @property
    def limit(self) -> float:
        """The limit that the worse variant is exactly at, in the unit of the budget."""
        before, after = self.case.values[self.metric]
        metric = load_metric(self.metric)
        drop = before - after if metric.higher_is_better else after - before
        if self.kind == "drop_points":
            return 100 * drop
        if self.kind in ("floor", "ceiling"):
            return after
        return drop / (1 - before if self.kind == "error_increase_relative" else before)

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        """Simulates `reps` runs. again: the number of the round; each round draws other samples."""
        rng = np.random.default_rng((*self.seed, again))
        metric, budget = load_metric(self.metric), QualityBudget(self.kind, self.limit)
        sums, refused = np.zeros(4), 0
        for run_number in range(reps):
            try:
                at_margin, equal = (
                    judge_quality(
                        metric,
                        *self.case.draw(rng, self.n, worse=worse),
                        [budget],
                        seed=run_number,
                        resamples=RESAMPLES,
                    ).verdict
                    for worse in (True, False)
                )
            except MeasureError:
                refused += 1
                continue
            sums += (
                at_margin is Verdict.PASS,
                at_margin is Verdict.FAIL,
                equal is Verdict.PASS,
                equal is Verdict.FAIL,
            )
        passed, failed, equal_passed, equal_failed = (sums / max(reps - refused, 1)).tolist()
        return Shares(passed, failed, equal_passed, equal_failed, refused / reps)


@dataclass(frozen=True)
class Shares:
    """PASS and FAIL at the limit, and of an equal variant; refused: the metric was undefined on the rows."""

    passed: float
    failed: float
    equal_passed: float
    equal_failed: float
    refused: float

    @property
    def worst(self) -> float:
        return max(self.passed, self.equal_failed)


def list_cells(seed: int, cases: Sequence[Case] = CASES) -> Iterator[Cell]:
    """A cell for each metric, kind and number of rows of the cases. Metrics that take no budget have none."""
    number = 0
    for case in cases:
        for name in case.metrics:
            for kind in list_suited_kinds(load_metric(name)):
                # budgets on both sides have a page of their own, equivalence_verdicts
                if kind == EQUIVALENT_POINTS or (kind != "drop_points" and name not in OTHER_KINDS):
                    continue
                for n in case.rows:
                    number += 1
                    yield Cell(case, name, kind, n, (seed, number))


def make_page(options: Options) -> str:
    simulated = simulate_cells(list_cells(options.seed), reps=options.reps)
    text = format_head(
        "Every metric that can gate: how often its verdict is wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT.format(resamples=RESAMPLES, again=RUN_AGAIN, group=GROUP),
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    return text + "\n## Every cell\n" + format_table(_HEADER, map(_format_row, simulated))


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    cell, shares = simulated.cell, simulated.result
    where = f"{cell.case.label}, n {cell.n:,}"
    return Rates(f"{cell.metric} {cell.kind}", where, shares.passed, shares.equal_failed, simulated.runs)


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    cell, shares = simulated.cell, simulated.result
    return [
        cell.metric,
        cell.kind,
        cell.case.label,
        f"{cell.n:,}",
        f"{cell.limit:.3g}",
        format_percent(shares.passed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.failed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.equal_passed),
        format_percent(shares.equal_failed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.refused),
        f"{simulated.runs:,}",
    ]


_HEADER = (
    "metric",
    "budget",
    "rows that change",
    "n",
    "limit",
    "PASS at the limit, %",
    "FAIL at the limit, %",
    "PASS if equal, %",
    "FAIL if equal, %",
    "refused, %",
    "runs",
)
_TEXT = """\
Verdicts of `judge_quality` itself, with {resamples:,} resamples where a metric is resampled. The variant is
exactly at its budget: the true values are those of 1,000,000 rows. `turned`: the rows' scores change their
sign; `surely wrong`: the right class has a probability of 1e-15, `wrong at 0.999` of 0.001; `blurred`: noise
is added to the scores; `groups`: groups of {group} rows change as a whole. An equal variant answers as many
rows afresh. {again}
False FAIL is FAIL of an equal variant. Bold: above 6 % by more than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=100)
