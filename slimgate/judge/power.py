"""What a number of rows can decide, before a run: shares of verdicts by simulation, and rows needed.

A simulated target changes the given share of the rows and has the given true drop. It is judged by
Tango's test, as runs with scores of 0 and 1 are; with analyses, at each analysis until one decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt

from slimgate.judge.decision import ALPHA, POWER
from slimgate.judge.family import compute_analysis_levels, compute_analysis_rows
from slimgate.judge.flips import estimate_flip_share, judge_flips
from slimgate.judge.mean_bound import sum_by_unit
from slimgate.judge.paired import compute_paired_p_value, compute_tango_z
from slimgate.judge.rows_needed import USUAL_CORRELATION, count_planned_rows
from slimgate.outcomes import Floats, Ints
from slimgate.results.base import Verdict

Word = Literal["can decide", "may decide", "cannot decide", "unknown"]
_Judged = Literal["drop", "both sides", "flips"]

# Shares of answers that an equal variant changes: without training, and with.
CONVERTED, TRAINED = (0.005, 0.03), (0.05, 0.12)
# A row takes its group's change with this chance, so two rows of a group correlate by its square.
_FOLLOW = sqrt(USUAL_CORRELATION)
_OUTLOOK_RUNS = 500  # so that a share is within 4 points of the true one, 19 times in 20
# "can decide": at least this share passes at the upper end of the range; "cannot decide": at most this share
# at the lower end.
_MOSTLY, _HARDLY = 0.80, 0.10


@dataclass(frozen=True)
class Outlook:
    """The share of simulated equal variants that the rows decide, at both ends of the range of changes."""

    changes: tuple[float, float]
    at_few: float
    at_many: float

    @property
    def word(self) -> Word:
        if self.at_many >= _MOSTLY:
            return "can decide"
        return "cannot decide" if self.at_few <= _HARDLY else "may decide"

    @property
    def basis(self) -> str:
        """What the outlook assumes.

        Example: `if 0.5 to 3 % of the answers change, an equal variant passes in 71 to 98 % of simulations`.
        """
        low, high = (f"{100 * share:.3g}" for share in self.changes)
        shares = dict.fromkeys(f"{100 * share:.0f}" for share in sorted((self.at_few, self.at_many)))
        passes = " to ".join(shares)
        change = f"if {low} to {high} % of the answers change"
        return f"{change}, an equal variant passes in {passes} % of simulations"


def make_drop_outlook(
    sizes: tuple[int, ...], margin: float, changes: tuple[float, float], *, two_sided: bool = False
) -> Outlook:
    """The outlook of a budget on the drop of a metric of 0/1 per row. sizes: rows of each group.

    margin: a fraction. two_sided: whether the budget limits a gain too.
    """
    judged: _Judged = "both sides" if two_sided else "drop"
    return Outlook(
        changes, *(_compute_pass_share(sizes, margin, discordance, judged) for discordance in changes)
    )


def make_flips_outlook(sizes: tuple[int, ...], limit: float, changes: tuple[float, float]) -> Outlook:
    """The outlook of a budget on the share of rows that turn from right to wrong; limit: a fraction."""
    return Outlook(
        changes, *(_compute_pass_share(sizes, limit, discordance, "flips") for discordance in changes)
    )


@lru_cache(maxsize=512)
def _compute_pass_share(sizes: tuple[int, ...], limit: float, discordance: float, judged: _Judged) -> float:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(sizes)), sizes) if max(sizes) > 1 else None
    runs = (draw_equal_changes(rng, sizes, discordance) for _ in range(_OUTLOOK_RUNS))
    judge = {"drop": _can_pass, "both sides": _is_two_sided_pass, "flips": _is_flips_pass}[judged]
    return float(np.mean([judge(changes, groups, limit) for changes in runs]))


def draw_equal_changes(
    rng: np.random.Generator, sizes: tuple[int, ...], discordance: float, follow: float = _FOLLOW
) -> Floats:
    """(rows,) +1 lost, -1 won, 0 same, for an equal variant.

    discordance: the share of rows that change. follow: the chance that a row takes its group's change.
    """
    member = np.repeat(np.arange(len(sizes)), sizes)
    drawn = [rng.random(count) for count in (len(member), len(sizes))]
    own_fate, of_group = (
        (part < discordance / 2).astype(np.float64) - (part > 1 - discordance / 2) for part in drawn
    )
    return np.where(rng.random(len(member)) < follow, of_group[member], own_fate)


def _can_pass(changes: Floats, groups: Ints | None, margin: float) -> bool:
    if groups is None:
        lost, won = int((changes > 0).sum()), int((changes < 0).sum())
        return compute_paired_p_value(lost, won, len(changes), margin) <= ALPHA
    # groups are numbers from 0, so they need no sorting, which takes a third of the time
    sums, sizes = (np.bincount(groups, weights=weights) for weights in (changes, np.ones(len(changes))))
    losses = sum_by_unit(sums.astype(np.float64), sizes.astype(np.float64), None, best=-1.0, worst=1.0)
    return losses.p_at_least(margin) <= ALPHA


def _is_two_sided_pass(changes: Floats, groups: Ints | None, margin: float) -> bool:
    return _can_pass(changes, groups, margin) and _can_pass(-changes, groups, margin)


def _is_flips_pass(changes: Floats, groups: Ints | None, limit: float) -> bool:
    flips = estimate_flip_share((changes > 0).astype(np.float64), groups)
    return judge_flips(flips, 100 * limit).verdict is Verdict.PASS


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
    """The shares of verdicts with this number of rows, and the number of rows that is needed.

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
    """The share of equal targets that pass with this number of rows."""
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
