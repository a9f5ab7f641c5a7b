"""What a number of rows can decide, before a run: shares of verdicts by simulation, and rows needed.

A simulated target changes the given share of the rows and has the given true drop. It is judged by
Tango's test, as runs with scores of 0 and 1 are; with analyses, at each analysis until one decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from slimgate.judge.decision import POWER
from slimgate.judge.exact_paired import compute_paired_p_value
from slimgate.judge.family import compute_analysis_levels, compute_analysis_rows
from slimgate.judge.rows_needed import count_planned_rows
from slimgate.judge.tango import compute_tango_z
from slimgate.outcomes import Ints

_RUNS = 20_000
# The search for the rows needed simulates fewer targets, and tries this factor more rows each time.
_SEARCH_RUNS = 5_000
_LARGER = 1.03
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class VerdictShares:
    """The shares of simulated targets with a true drop (a fraction) that each rule passes and fails.

    point_passes: by the rule "the measured drop is at most the budget", which a constant threshold is. rows:
    the mean number of rows until an analysis decides, or until all rows are run.
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
    """The plan for a number of rows.

    rows, flip_rate, margin: the arguments of `make_plan`. equal, at_budget, twice: targets that lose nothing,
    exactly the budget, and twice as much; None if more rows than flip would have to. By symmetry a two-sided
    budget treats the same gains as these drops.
    rows_needed: rows that pass an equal target 80 % of the time.
    """

    rows: int
    flip_rate: float
    margin: float
    equal: VerdictShares
    at_budget: VerdictShares | None
    twice: VerdictShares | None
    rows_needed: int


def make_plan(
    rows: int, flip_rate: float, margin: float, *, analyses: int = 1, two_sided: bool = False
) -> Plan:
    """The shares of verdicts that so many rows lead to, and the number of rows that is needed.

    flip_rate: the share of rows that change, either way. margin: the budget, a fraction. two_sided: whether
    the budget limits a gain too.
    """
    rng, at_analyses = np.random.default_rng(0), compute_analysis_rows(rows, analyses)

    def simulate(drop: float) -> VerdictShares:
        return simulate_analyses(rng, at_analyses, flip_rate, margin, drop, _RUNS, two_sided=two_sided)

    equal = simulate(0.0)
    at_budget, twice = (None if drop > flip_rate else simulate(drop) for drop in (margin, 2 * margin))
    needed = count_planned_rows(margin, discordance=flip_rate, two_sided=two_sided)
    if equal.passes >= POWER:
        needed = min(needed, rows)
    elif needed <= rows or analyses > 1:  # the formula is a few rows too low, and knows no analyses
        needed = max(needed, rows)
        while _simulate_pass_share(needed, analyses, flip_rate, margin, two_sided=two_sided) < POWER:
            needed = ceil(_LARGER * needed)
    return Plan(rows, flip_rate, margin, equal, at_budget, twice, needed)


def _simulate_pass_share(
    rows: int, analyses: int, flip_rate: float, margin: float, *, two_sided: bool
) -> float:
    """The share of equal targets that pass with so many rows."""
    rng, at_analyses = np.random.default_rng(0), compute_analysis_rows(rows, analyses)
    return simulate_analyses(
        rng, at_analyses, flip_rate, margin, 0.0, _SEARCH_RUNS, two_sided=two_sided
    ).passes


def simulate_analyses(
    rng: np.random.Generator,
    rows: Sequence[int],
    flip_rate: float,
    margin: float,
    drop: float,
    runs: int,
    *,
    two_sided: bool = False,
) -> VerdictShares:
    """Simulates targets that are judged at each analysis until one decides.

    rows: the number of rows at each analysis. The levels are those of as many analyses at equal shares.
    two_sided: PASS by both tests at the level, FAIL by either at half of it.
    """
    cells = [(flip_rate + drop) / 2, (flip_rate - drop) / 2, max(0.0, 1 - flip_rate)]
    turned = np.zeros((runs, 2), np.int64)
    verdicts, rows_used, rows_before = np.zeros(runs, np.int64), np.zeros(runs), 0
    for n, level in zip(rows, compute_analysis_levels(len(rows)), strict=True):
        turned += rng.multinomial(n - rows_before, cells, size=runs)[:, :2]
        undecided = np.flatnonzero(verdicts == 0)
        passes, fails = _decide(turned[undecided], n, margin, level, two_sided=two_sided)
        rows_used[undecided] = n
        verdicts[undecided] = np.where(fails, -1, passes)
        rows_before = n
    drops = (turned[:, 0] - turned[:, 1]) / rows_before
    point = (np.abs(drops) if two_sided else drops) <= margin
    shares = [float(column.mean()) for column in (verdicts == 1, verdicts == -1, point, rows_used)]
    return VerdictShares(drop, *shares)


def _decide(turned: Ints, n: int, margin: float, level: float, *, two_sided: bool) -> tuple[Bools, Bools]:
    """(runs,) whether each run passes, and whether it fails."""
    gained, fail_level = turned[:, ::-1], level / 2 if two_sided else level
    passes = _is_below(turned, n, margin, level)
    fails = _is_below(gained, n, -margin, fail_level)
    if two_sided:
        passes &= _is_below(gained, n, margin, level)
        fails |= _is_below(turned, n, -margin, fail_level)
    return passes, fails


def _is_below(turned: Ints, n: int, margin: float, level: float) -> Bools:
    """(runs,) whether (runs, 2) rows lost and gained show, at this level, a true drop below `margin`.

    The exact test is slow, so it is computed only if Tango's test shows it.
    """
    from slimgate._system.special_functions import ndtr

    pairs, at = np.unique(turned, axis=0, return_inverse=True)
    below = [
        bool(ndtr(compute_tango_z(lost, gained, n, margin)) <= level)
        and compute_paired_p_value(lost, gained, n, margin) <= level
        for lost, gained in pairs.tolist()
    ]
    each: Bools = np.array(below, np.bool_)[at.ravel()]
    return each
