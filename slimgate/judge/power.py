"""What a number of rows can decide, before they are run: shares of verdicts by simulation, and rows needed.

A simulated target changes the given share of the rows, and its true drop is the given one. It is judged by
Tango's test, as the scores of 0 and 1 of a run are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.rows_needed import planned_rows
from slimgate.judge.tango import tango_z

RUNS = 20_000


@dataclass(frozen=True)
class Shares:
    """Of the simulated targets with a true drop (a fraction) the shares that each rule passes and fails.

    point_passes: of the rule "the measured drop is at most the budget", which a constant threshold is.
    """

    drop: float
    passes: float
    fails: float
    point_passes: float

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


def plan(rows: int, flips: float, margin: float, *, seed: int = 0, runs: int = RUNS) -> Plan:
    """flips: the share of rows that change, either way; margin: the budget, a fraction."""
    rng = np.random.default_rng(seed)

    def of(drop: float) -> Shares | None:
        return None if drop > flips else _shares(rng, rows, flips, margin, drop, runs)

    equal = _shares(rng, rows, flips, margin, 0.0, runs)
    needed = planned_rows(margin, discordance=flips)
    return Plan(rows, flips, margin, equal, of(margin), of(2 * margin), needed)


def _shares(rng: np.random.Generator, n: int, psi: float, margin: float, drop: float, runs: int) -> Shares:
    lost, won = (psi + drop) / 2, (psi - drop) / 2
    drawn = rng.multinomial(n, [lost, won, max(0.0, 1 - psi)], size=runs)[:, :2]
    pairs, repeats = np.unique(drawn, axis=0, return_counts=True)
    z = np.array([tango_z(int(b), int(c), n, margin) for b, c in pairs])
    point = (pairs[:, 0] - pairs[:, 1]) / n <= margin

    def share(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
        return float(repeats[chosen].sum() / runs)

    return Shares(drop, share(z <= -Z_ALPHA), share(z >= Z_ALPHA), share(point))
