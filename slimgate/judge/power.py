"""What a number of rows can decide, before they are run: shares of verdicts by simulation, and rows needed.

A simulated target changes the given share of the rows, and its true drop is the given one. It is judged by
Tango's test, as the scores of 0 and 1 of a run are; with looks, at each of them until one decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.judge.decision import z_quantile
from slimgate.judge.group_sequential import look_levels, look_rows
from slimgate.judge.rows_needed import planned_rows
from slimgate.judge.tango import tango_z
from slimgate.outcomes import Floats, Ints

RUNS = 20_000


@dataclass(frozen=True)
class Shares:
    """Of the simulated targets with a true drop (a fraction) the shares that each rule passes and fails.

    point_passes: of the rule "the measured drop is at most the budget", which a constant threshold is.
    rows: the mean number of rows until a look decides, or all rows are run.
    """

    drop: float
    passes: float
    fails: float
    point_passes: float
    rows: float

    @property
    def undecided(self) -> float:
        return 1 - self.passes - self.fails


@dataclass(frozen=True)
class Plan:
    """rows, flips, margin: as asked, the last two as fractions. equal, at_budget, twice: targets that lose
    nothing, exactly the budget, and twice as much; None where so large a drop needs more flips.

    rows_needed: rows that pass an equal target 80 % of the time.
    """

    rows: int
    flips: float
    margin: float
    equal: Shares
    at_budget: Shares | None
    twice: Shares | None
    rows_needed: int


def plan(rows: int, flips: float, margin: float, *, looks: int = 1, seed: int = 0, runs: int = RUNS) -> Plan:
    """flips: the share of rows that change, either way; margin: the budget, a fraction."""
    rng = np.random.default_rng(seed)

    def of(drop: float) -> Shares | None:
        return (
            None if drop > flips else simulate_looks(rng, look_rows(rows, looks), flips, margin, drop, runs)
        )

    equal = simulate_looks(rng, look_rows(rows, looks), flips, margin, 0.0, runs)
    needed = planned_rows(margin, discordance=flips)
    return Plan(rows, flips, margin, equal, of(margin), of(2 * margin), needed)


def simulate_looks(
    rng: np.random.Generator, rows: Sequence[int], psi: float, margin: float, drop: float, runs: int
) -> Shares:
    """rows: the number of rows at each look. The levels are those of as many looks at equal shares."""
    cells = [(psi + drop) / 2, (psi - drop) / 2, max(0.0, 1 - psi)]
    turned = np.zeros((runs, 2), np.int64)
    verdicts, used, earlier = np.zeros(runs, np.int64), np.zeros(runs), 0
    for n, level in zip(rows, look_levels(len(rows)), strict=True):
        turned += rng.multinomial(n - earlier, cells, size=runs)[:, :2]
        z, limit = _z_of(turned, n, margin), z_quantile(level)
        open_ = verdicts == 0
        used[open_] = n
        verdicts[open_ & (z <= -limit)] = 1
        verdicts[open_ & (z >= limit)] = -1
        earlier = n
    point = (turned[:, 0] - turned[:, 1]) / earlier <= margin
    shares = [float(one.mean()) for one in (verdicts == 1, verdicts == -1, point, used)]
    return Shares(drop, *shares)


def _z_of(turned: Ints, n: int, margin: float) -> Floats:
    """(runs,) Tango's z of (runs, 2) rows lost and won; each pair of numbers is computed once."""
    pairs, at = np.unique(turned, axis=0, return_inverse=True)
    found = np.array([tango_z(int(b), int(c), n, margin) for b, c in pairs])
    each: Floats = found[at.ravel()]
    return each
