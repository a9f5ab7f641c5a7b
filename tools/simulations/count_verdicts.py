"""How often budgets on flips and on slices are judged wrongly.

python -m tools.simulations.count_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from slimgate.judge.flips import estimate_flip_share, judge_flips
from slimgate.judge.metrics import load_metric
from slimgate.judge.slices import Slice, decide_all_slices, judge_slices
from slimgate.outcomes import ClassOutcomes
from slimgate.results.base import Verdict
from tools.simulations.outcomes import make_ids
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import Rates, Simulated, format_worst_cells, simulate_cells

NAME = "count_verdicts"
# groups × rows; of 1 row the groups are single rows
SHAPES = (
    *((n, 1) for n in (20, 50, 100, 300, 1000, 3000, 20_000)),
    *((groups, size) for groups in (20, 50, 150, 500) for size in (2, 40)),
)
FLIPS = (0.5, 1.0, 2.0, 5.0, 10.0)
# slices × rows
SLICED = ((2, 100), (2, 1000), (10, 40), (10, 300), (77, 40), (77, 200))
PSI, POINTS, ACCURACY = 0.1, 5.0, 0.9


@dataclass(frozen=True)
class Flips:
    """Exact chances of PASS and FAIL where each group turns as a whole with the chance that is the limit."""

    groups: int
    size: int
    limit: float
    passed: float
    failed: float


def list_flips() -> Iterator[Flips]:
    """Every shape and limit."""
    for (groups, size), limit in product(SHAPES, FLIPS):
        verdict = partial(_judge_lost_groups, groups, size, limit)
        passed = _compute_chance_at_most(
            _find_last_count(groups, verdict, {Verdict.PASS}), groups, limit / 100
        )
        inside = _find_last_count(groups, verdict, {Verdict.PASS, Verdict.INCONCLUSIVE})
        yield Flips(groups, size, limit, passed, 1 - _compute_chance_at_most(inside, groups, limit / 100))


def _judge_lost_groups(groups: int, size: int, limit: float, lost: int) -> Verdict:
    member = np.repeat(np.arange(groups), size)
    flips = estimate_flip_share((member < lost).astype(np.float64), member if size > 1 else None)
    return judge_flips(flips, limit).verdict


def _find_last_count(groups: int, verdict: Callable[[int], Verdict], verdicts: Set[Verdict]) -> int:
    """The largest number of lost groups that gives a wanted verdict, -1 if none; smaller ones do too."""
    low, high = -1, groups
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if verdict(middle) in verdicts else (low, middle - 1)
    return low


def _compute_chance_at_most(limit: int, groups: int, share: float) -> float:
    from scipy.special import bdtr

    return float(bdtr(limit, groups, share)) if limit >= 0 else 0.0


@dataclass(frozen=True)
class Slices:
    """A number of slices, all with the same number of rows. seed: of its random numbers."""

    slices: int
    rows: int
    seed: tuple[int, ...]

    @property
    def label(self) -> str:
        return f"{self.slices} slices of {self.rows:,}"

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        """Simulates a loss of the budget in the first slice, a loss in all slices, and no loss."""
        rng, lost = np.random.default_rng((*self.seed, again)), POINTS / 100
        drops = np.zeros((3, self.slices))
        drops[0, 0] = drops[1] = lost
        verdicts = [[self._judge(rng, line) for line in drops] for _ in range(reps)]
        first_lost, all_lost, none_lost = zip(*verdicts, strict=True)
        return Shares(
            passed=first_lost.count(Verdict.PASS) / reps,
            failed=all_lost.count(Verdict.FAIL) / reps,
            equal_failed=none_lost.count(Verdict.FAIL) / reps,
        )

    def _judge(self, rng: np.random.Generator, drops: np.ndarray) -> Verdict:
        n = self.slices * self.rows
        member = np.repeat(np.arange(self.slices), self.rows)
        lost, won = (PSI + drops[member]) / 2, (PSI - drops[member]) / 2
        fate = rng.random(n)
        sound = rng.random(n) < ACCURACY
        before = np.where(fate < lost, True, np.where(fate < lost + won, False, sound))
        after = np.where(fate < lost, False, np.where(fate < lost + won, True, sound))
        ids, labels = make_ids(n), np.ones(n, np.int64)
        teacher, variant = (
            ClassOutcomes(ids, labels, right.astype(np.int64), ("wrong", "right"))
            for right in (before, after)
        )
        parts = [Slice("slice", str(k), np.flatnonzero(member == k)) for k in range(self.slices)]
        judged = judge_slices(load_metric("accuracy"), teacher, variant, parts, POINTS)
        return decide_all_slices("accuracy", judged, POINTS).verdict


@dataclass(frozen=True)
class Shares:
    """PASS where one slice is at its budget, FAIL where all are, FAIL where none has lost anything."""

    passed: float
    failed: float
    equal_failed: float

    @property
    def worst(self) -> float:
        return max(self.passed, self.equal_failed)


def make_page(options: Options) -> str:
    exact = list(list_flips())
    slices = [Slices(*shape, (options.seed, number)) for number, shape in enumerate(SLICED)]
    simulated = simulate_cells(slices, reps=options.reps)
    text = format_head(
        "Flips and slices: how often verdicts are wrong",
        NAME,
        options,
        error=f"none for flips, whose chances are exact; for slices {format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([*map(_make_flip_rates, exact), *map(_make_slice_rates, simulated)])
    text += "\n## Flips: the variant is at its limit\n" + format_table(_FLIPS, map(_format_flip_row, exact))
    return text + "\n## Slices\n" + format_table(_SLICES, map(_format_slice_row, simulated))


def _make_flip_rates(simulated: Flips) -> Rates:
    kind = "single rows" if simulated.size == 1 else "groups"
    where = (
        f"{simulated.groups:,} groups of {simulated.size}"
        if simulated.size > 1
        else f"n {simulated.groups:,}"
    )
    return Rates(
        f"flips, {kind}", f"{where}, limit {simulated.limit:g} %", simulated.passed, simulated.failed, None
    )


def _make_slice_rates(simulated: Simulated[Slices, Shares]) -> Rates:
    return Rates(
        "slices", simulated.cell.label, simulated.result.passed, simulated.result.equal_failed, simulated.runs
    )


def _format_flip_row(simulated: Flips) -> list[str]:
    shares = (format_percent(share, limit=TARGET) for share in (simulated.passed, simulated.failed))
    return [f"{simulated.groups:,}", f"{simulated.size}", f"{simulated.limit:g}", *shares]


def _format_slice_row(simulated: Simulated[Slices, Shares]) -> list[str]:
    shares = simulated.result.passed, simulated.result.failed, simulated.result.equal_failed
    return [
        f"{simulated.cell.slices}",
        f"{simulated.cell.rows}",
        *(format_percent(share, limit=TARGET, reps=simulated.runs) for share in shares),
        f"{simulated.runs:,}",
    ]


_FLIPS = ("groups", "rows of a group", "limit, %", "PASS, %", "FAIL, %")
_SLICES = (
    "slices",
    "rows of a slice",
    "one at its budget: PASS, %",
    "all at their budget: FAIL, %",
    "none lost: FAIL, %",
    "runs",
)
_TEXT = f"""\
Flips: every group turns as a whole from right to wrong, with a chance that is the limit; the
chances of the verdicts of `judge_flips` are exact binomial sums. Slices: verdicts of `judge_slices`
on a budget of {POINTS:g} points of accuracy for every slice; {100 * PSI:g} % of the rows change.
FAIL is corrected by Holm's method over the slices; a PASS needs proof for every slice. "all at their
budget" is neither of the two errors that a verdict is made to avoid: Tango's approximation is too
generous so far in the tail. A rate is bold if it is above 6 %. A simulated rate must be above it by
more than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=40)
