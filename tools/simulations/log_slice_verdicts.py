"""How often budgets on slices of logs are judged wrongly, and how often a slice that lost is found.

python -m tools.simulations.log_slice_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from slimgate.judge import QualityBudget, Verdict
from slimgate.judge.contrast import make_drop_contrast
from slimgate.judge.decision import ALPHA
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.judge.paired import compute_paired_p_value
from slimgate.judge.slices import adjust_by_holm
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.rules import Rules
from slimgate.logs.slice_budgets import SliceBudgets
from slimgate.logs.verdicts import judge_logs
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.reader import Log, Row, TaskLog
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

NAME = "log_slice_verdicts"
POINTS = 5.0
RIGHT = 0.75
SLICES, ROWS, CHANGES = (4, 12, 40), (60, 200, 500), (0.06, 0.12)
# How a base's answers are damaged: in the first slice, or in all of them.
ONE, ALL = "one slice at its limit", "all slices at their limit"
EVERY, NAMED = "every slice", "named slice"


@dataclass(frozen=True)
class Shares:
    """Shares of the runs: PASS and FAIL at the limit and of an equal model, and FAIL of a bad one."""

    passed: float
    failed: float
    equal_passed: float
    equal_failed: float
    bad_failed: float

    @property
    def worst(self) -> float:
        return max(self.passed, self.equal_failed)


@dataclass(frozen=True)
class Cell:
    """A budget on slices and the slices of two logs.

    budgets: EVERY or NAMED; at_limit: ONE or ALL; rows: of each slice; changes: the share that flips.
    """

    budgets: str
    at_limit: str
    slices: int
    rows: int
    changes: float
    group: int
    seed: tuple[int, ...]

    @property
    def label(self) -> str:
        groups = f", groups of {self.group}" if self.group > 1 else ""
        changed = f"{100 * self.changes:g} % change"
        return f"{self.slices} slices of {self.rows}, {changed}{groups}, {self.at_limit}"

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        rng = np.random.default_rng((*self.seed, again))
        damaged = 1 if self.at_limit == ONE else self.slices
        at_limit, equal, bad = (
            [self._judge_without_logs(rng, count, drop) for _ in range(reps)]
            for count, drop in ((damaged, POINTS / 100), (0, 0.0), (1, 3 * POINTS / 100))
        )
        return Shares(
            passed=at_limit.count(Verdict.PASS) / reps,
            failed=at_limit.count(Verdict.FAIL) / reps,
            equal_passed=equal.count(Verdict.PASS) / reps,
            equal_failed=equal.count(Verdict.FAIL) / reps,
            bad_failed=bad.count(Verdict.FAIL) / reps,
        )

    def _judge_without_logs(self, rng: np.random.Generator, damaged: int, drop: float) -> Verdict:
        """The verdict of the gate by the tests of `judge`, but faster, because no logs are made."""
        base, target = self.draw(rng, damaged, drop)
        slices = 1 if self.budgets == NAMED else self.slices
        groups = None if self.group == 1 else np.arange(self.rows) // self.group
        p_values = [
            _compute_p_values(before, after, groups)
            for before, after in zip(base[:slices], target[:slices], strict=True)
        ]
        if (adjust_by_holm(np.array([p_holds for _, p_holds in p_values])) <= ALPHA).any():
            return Verdict.FAIL
        return Verdict.PASS if all(p <= ALPHA for p, _ in p_values) else Verdict.INCONCLUSIVE

    def judge(self, base: Floats, target: Floats) -> Verdict:
        """The verdict of the gate, by `judge_logs` on logs: the worst verdict of its budgets."""
        limits = (QualityBudget("drop_points", POINTS),)
        field, value = (None, None) if self.budgets == EVERY else ("kind", "k0")
        budgets = LogBudgets(slices=(SliceBudgets("*", limits, field, value),))
        logs = self._make_log("base", base), self._make_log("target", target)
        judged = judge_logs(*logs, budgets, Rules(slices=("kind",)))
        verdicts = [part.judged.verdict for part in judged.slices if part.budgets]
        return next(
            (verdict for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE) if verdict in verdicts), Verdict.PASS
        )

    def draw(self, rng: np.random.Generator, damaged: int, drop: float) -> tuple[Floats, Floats]:
        """Draws (slices, rows) scores; the first `damaged` slices lose `drop`, and groups flip as a whole."""
        units = self.rows // self.group
        shape = (self.slices, units)
        lost = np.where(np.arange(self.slices) < damaged, drop, 0.0)[:, None]
        changes = max(self.changes, drop)
        worse, better = (changes + lost) / 2, (changes - lost) / 2
        flip = rng.random(shape)
        base = (rng.random(shape) < RIGHT).astype(np.float64)
        base = np.where(flip < worse, 1.0, np.where(flip < worse + better, 0.0, base))
        target = np.where(flip < worse + better, 1 - base, base)
        return np.repeat(base, self.group, axis=1), np.repeat(target, self.group, axis=1)

    def _make_log(self, name: str, scores: Floats) -> Log:
        def yield_rows() -> Iterator[Row]:
            for number, slice_scores in enumerate(scores.tolist()):
                fields = {"kind": f"k{number}"}
                for index, score in enumerate(slice_scores):
                    key = f"{number} {index // self.group}" if self.group > 1 else None
                    yield Row(f"{number} {index}", {"acc": score}, cluster=key, fields=fields)

        return Log("simulated", name, {"task": TaskLog(yield_rows)})


def _compute_p_values(before: Floats, after: Floats, groups: Ints | None) -> tuple[float, float]:
    """The p-values of two hypotheses: the slice loses its budget or more; it loses its budget or less."""
    if groups is None:
        worse, better = int((before > after).sum()), int((after > before).sum())
        return _compute_tango_p_values(worse, better, len(before))
    paired = PairedMeans(
        before=before,
        after=after,
        sizes=np.ones(len(before)),
        groups=groups,
        ends=(0.0, 1.0),
        most_lost=1.0,
    )
    losses = paired.compute_losses(make_drop_contrast(higher_is_better=True))
    return losses.p_at_least(POINTS / 100), losses.p_at_most(POINTS / 100)


@cache
def _compute_tango_p_values(worse: int, better: int, rows: int) -> tuple[float, float]:
    return (
        compute_paired_p_value(worse, better, rows, POINTS / 100),
        compute_paired_p_value(better, worse, rows, -POINTS / 100),
    )


def list_cells(seed: int) -> Iterator[Cell]:
    every = [
        (EVERY, at_limit, slices, rows, changes, 1)
        for at_limit, slices, rows, changes in product((ONE, ALL), SLICES, ROWS, CHANGES)
    ]
    grouped = [(EVERY, ONE, 4, rows, 0.12, 4) for rows in ROWS]
    named = [(NAMED, ONE, 4, rows, changes, 1) for rows, changes in product(ROWS, CHANGES)]
    for number, settings in enumerate((*every, *grouped, *named)):
        yield Cell(*settings, (seed, number))


def make_page(options: Options) -> str:
    simulated = simulate_cells(list_cells(options.seed), reps=options.reps)
    text = format_head(
        "Slices of logs: how often verdicts are wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    return text + "\n## Every cell\n" + format_table(_HEADER, map(_format_row, simulated))


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    cell, shares = simulated.cell, simulated.result
    return Rates(f"logs, {cell.budgets}", cell.label, shares.passed, shares.equal_failed, simulated.runs)


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    cell, shares, runs = simulated.cell, simulated.result, simulated.runs
    return [
        cell.budgets,
        cell.label,
        format_percent(shares.passed, limit=TARGET, reps=runs),
        format_percent(shares.failed),
        format_percent(shares.equal_passed),
        format_percent(shares.equal_failed, limit=TARGET, reps=runs),
        format_percent(shares.bad_failed),
        f"{runs:,}",
    ]


_HEADER = (
    "budget on",
    "logs",
    "PASS at the limit, %",
    "FAIL at the limit, %",
    "PASS if equal, %",
    "FAIL if equal, %",
    "FAIL if a slice loses 3 limits, %",
    "runs",
)
_TEXT = f"""\
Verdicts by the tests of `judge_logs` on logs
with a field of 4, 12 or 40 values. The budget is {POINTS:g} points of
every slice, or of the first one by its name. The gate passes if all budgets do. At the limit the first slice
loses exactly its budget, or all of them do; PASS is wrong. FAIL at the limit is Holm's family-wise error,
and grows to that of Tango's approximation where all slices are there. {RUN_AGAIN}
Bold: above 6 % by more than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=60)
