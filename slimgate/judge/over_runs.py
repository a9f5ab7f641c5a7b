"""A mean score over all possible samples and all runs that each model could give.

Each of A runs of the base and B runs of the target has a score on each of n samples, so runs and samples are
crossed. The mean drop varies with the samples that were drawn, and with the runs.

    bound = mean drop ± max(samples, sqrt(share × samples² + runs²))

samples: how far Gaffke's bound over the samples is from the mean, for scores averaged over the runs. It
includes the chance of a run on a single sample, but nothing that is common to a whole run, such as a server,
a seed or a judge model. share: the part of its variance that is not such chance on single samples. The spread
of the runs' means includes that chance too, so it would count twice. runs: Student's quantile times
the standard error of the drop, from the spread of the runs' means; the larger of two rules.

    Welch's    each side has its own spread; too short if the two runs of a side agree by chance
    pooled     both sides have the same spread; too short if their spreads differ

With 2 runs of one side and 10 of the other, a drop equal to its budget passes in up to 8 % of the simulations
by Welch's rule alone, in up to 32 % by the pooled rule, and in at most 5.4 % by the larger of the two. The
root of the sum of squares is Banerjee's bound, see `over_builds`. slimgate assumes that a side of one run
varies as the other side does.

reports/simulations/run_verdicts.md has the error rates.

Sources: Welch 1947, Biometrika 34:28-35; Banerjee 1961, Calcutta Stat. Assoc. Bull. 10:47-58.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot, sqrt
from typing import NamedTuple

import numpy as np

from slimgate.judge.contrast import Contrast, Interval, PairedByInterval, find_smallest_level
from slimgate.judge.decision import ALPHA, POWER_FACTOR, is_at_limit, t_quantile
from slimgate.judge.mean_bound import UnitLosses
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.outcomes import Floats, Ints

# The largest number of runs of each side that a message suggests.
MOST_RUNS = 20
# Smaller scatter, relative to the largest score, is rounding of sums.
_ROUNDING = 1e-12


class RunsNeeded(NamedTuple):
    """The plan that would decide a budget 80 % of the time if all stays as measured; None if none would.

    rows: how many rows, with the same runs. runs: how many runs of each side, on the same rows.
    needs_both: neither is enough alone; then `rows` and `runs` together are.
    """

    rows: int | None
    runs: int | None
    needs_both: bool = False


@dataclass(frozen=True, eq=False)
class RunScores:
    """The scores of every run on the same rows. base, target: (runs, rows), each with its own number of runs.

    For a metric that is not a mean of scores, such as pass^3, the score is what each answer adds to its mean.
    """

    base: Floats
    target: Floats

    @property
    def counts(self) -> tuple[int, int]:
        """How many runs each side has."""
        return len(self.base), len(self.target)


@dataclass(frozen=True)
class SideSpread:
    """How much the runs of one side vary. runs: how many. variance: the variance of the mean of a run.

    chance: the part of `variance` that is chance on single units, from their scatter around the run's mean.
    degrees: degrees of freedom of `variance`. A side of one run takes all three from the other side.
    """

    runs: int
    variance: float
    chance: float
    degrees: int


@dataclass(frozen=True, eq=False)
class OverRuns(PairedByInterval):
    """Scores over samples and runs. rows: the mean over the runs of each row; n: the number of rows."""

    rows: PairedMeans
    base: SideSpread
    target: SideSpread
    n: int

    @property
    def varies(self) -> bool:
        """Whether any two runs of a side differ in any score."""
        return any(side.variance > 0 or side.chance > 0 for side in (self.base, self.target))

    def compute_value(self, contrast: Contrast) -> float:
        """The mean over samples and runs."""
        return self.rows.compute_losses(contrast).mean

    def compute_bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """The bounds of the mean, each at a one-sided level `alpha`."""
        losses = self.rows.compute_losses(contrast)
        sides = self._weigh_sides(contrast)
        root, between = sqrt(_compute_sample_share(losses, sides)), _compute_run_reach(*sides, alpha)
        low, high = losses.compute_interval(alpha)
        below, above = max(losses.mean - low, 0.0), max(high - losses.mean, 0.0)
        return (
            losses.mean - max(below, hypot(root * below, between)),
            losses.mean + max(above, hypot(root * above, between)),
        )

    def p_at_least(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at least `limit`"."""
        return find_smallest_level(self._make_excluder(contrast, limit, above=True))

    def p_at_most(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at most `limit`"."""
        return find_smallest_level(self._make_excluder(contrast, limit, above=False))

    def excludes(self, contrast: Contrast, limit: float, alpha: float, *, above: bool) -> bool:
        """Whether `limit` is above the upper bound, or else below the lower one."""
        return self._make_excluder(contrast, limit, above=above)(alpha)

    def _make_excluder(self, contrast: Contrast, limit: float, *, above: bool) -> Callable[[float], bool]:
        """`excludes` as a function of the level.

        It takes the p-value of the samples at the distance that remains after the runs' part. So it need not
        search for a bound at each level.
        """
        losses, sides = self.rows.compute_losses(contrast), self._weigh_sides(contrast)
        test = losses.p_at_least if above else losses.p_at_most
        share, p_of_samples = _compute_sample_share(losses, sides), test(limit)
        sign = 1 if above else -1
        distance = sign * (limit - losses.mean)

        def is_excluded(alpha: float) -> bool:
            between = _compute_run_reach(*sides, alpha)
            if p_of_samples > alpha or distance <= between:
                return False
            if share == 0:
                return True
            remaining = sqrt((distance**2 - between**2) / share)
            return test(losses.mean + sign * remaining) <= alpha

        return is_excluded

    def compute_standard_error(self, contrast: Contrast) -> float:
        """The standard error of the mean, from samples and runs."""
        losses, sides = self.rows.compute_losses(contrast), self._weigh_sides(contrast)
        of_samples = losses.standard_error * sqrt(_compute_sample_share(losses, sides))
        return hypot(of_samples, sqrt(_compute_run_variance(sides)))

    def compute_copies_needed(self, contrast: Contrast, limit: float) -> float | None:
        """The factor on the rows that would decide, with the same runs; None if no number of rows would."""
        needed = self.compute_needed(contrast, limit)
        return None if needed.rows is None or needed.needs_both else needed.rows / self.n

    def compute_needed(self, contrast: Contrast, limit: float, *, stretch: float = 1.0) -> RunsNeeded:
        """The rows or runs that would decide on which side of `limit` the mean is.

        stretch: the factor on the distance to `limit`, in standard errors, compared with a one-sided budget.
        """
        losses = self.rows.compute_losses(contrast)
        value = losses.mean
        if is_at_limit(value, limit):
            return RunsNeeded(None, None)
        low, high = losses.compute_interval()
        samples_squared = ((high - value) if value < limit else (value - low)) ** 2
        room = ((limit - value) / (stretch * POWER_FACTOR)) ** 2
        sides = self._weigh_sides(contrast)
        share = _compute_sample_share(losses, sides)

        def rows_needed(runs: int | None) -> int | None:
            """The rows needed with `runs` runs of each side; None: with the runs that there are.

            The squares of both terms of the bound must fit into `room`. With k times as many rows, the parts
            by samples and by chance on single samples shrink to 1/k; the rest of the runs' part stays.
            """
            planned = sides
            if runs is not None:
                base, target = (replace(side, runs=runs, degrees=runs - 1) for side in sides)
                planned = base, target
            chance, run_variance = _compute_chance_variance(planned), _compute_run_variance(planned)
            chance_ratio = min(chance / (_compute_chance_variance(sides) or 1.0), 1.0)
            samples_alone = samples_squared * (share + (1 - share) * chance_ratio)
            runs_squared = _compute_run_reach(*planned, ALPHA) ** 2
            chance_part = runs_squared * min(1.0, chance / run_variance) if run_variance > 0 else 0.0
            room_for_rows = room - (runs_squared - chance_part)
            if room_for_rows <= 0:
                return None
            mixed = (share * samples_squared + chance_part) / room_for_rows
            return ceil(self.n * max(samples_alone / room, mixed, 1.0))

        rows = rows_needed(None)
        larger_counts = range(max(self.base.runs, self.target.runs) + 1, MOST_RUNS + 1)
        rows_by_runs = {runs: needed for runs in larger_counts if (needed := rows_needed(runs)) is not None}
        more_runs = next((runs for runs, needed in rows_by_runs.items() if needed <= self.n), None)
        if rows is None and more_runs is None and rows_by_runs:
            more_runs, rows = next(iter(rows_by_runs.items()))
            return RunsNeeded(rows, more_runs, needs_both=True)
        return RunsNeeded(rows, more_runs)

    def _weigh_sides(self, contrast: Contrast) -> tuple[SideSpread, SideSpread]:
        """Both spreads as the contrast weighs them. A side of one run varies as the other does."""
        base, target = self.base, self.target
        if base.runs == 1:
            base = replace(target, runs=1)
        if target.runs == 1:
            target = replace(base, runs=1)
        return _scale_side(base, contrast.teacher), _scale_side(target, contrast.variant)


def _scale_side(side: SideSpread, factor: float) -> SideSpread:
    """The spread of the scores times a factor."""
    return replace(side, variance=factor**2 * side.variance, chance=factor**2 * side.chance)


def _compute_chance_variance(sides: Sequence[SideSpread]) -> float:
    """The variance of the mean contrast by the chance of runs on single samples."""
    return sum(side.chance / side.runs for side in sides)


def _compute_run_variance(sides: Sequence[SideSpread]) -> float:
    """The variance of the mean contrast by the spread of the runs' means."""
    return sum(side.variance / side.runs for side in sides)


def _compute_sample_share(losses: UnitLosses, sides: tuple[SideSpread, SideSpread]) -> float:
    """The share of the samples' variance that is not the chance of runs on single samples."""
    total = losses.standard_error**2
    return max(0.0, 1 - _compute_chance_variance(sides) / total) if total > 0 else 1.0


def _compute_run_reach(base: SideSpread, target: SideSpread, alpha: float) -> float:
    """How far the bound is from the mean by the spread of whole runs: the larger of Welch's and the pooled.

    A side without weight, such as the base of a floor, has no part in it.
    """
    sides = [side for side in (base, target) if side.variance > 0]
    run_variance = _compute_run_variance(sides)
    if not sides:
        return 0.0
    if len(sides) == 1 or min(side.runs for side in sides) == 1:
        # a single estimate of a variance, also if a side of one run borrows it
        return t_quantile(sides[0].degrees, alpha) * sqrt(run_variance)
    degrees = run_variance**2 / sum((side.variance / side.runs) ** 2 / (side.runs - 1) for side in sides)
    welch = t_quantile(degrees, alpha) ** 2 * run_variance
    pooled_degrees = sum(side.runs - 1 for side in sides)
    variance = sum((side.runs - 1) * side.variance for side in sides) / pooled_degrees
    pooled = t_quantile(pooled_degrees, alpha) ** 2 * variance * sum(1 / side.runs for side in sides)
    return sqrt(max(welch, pooled))


def combine_runs(rows: PairedMeans, runs: RunScores) -> OverRuns:
    """Combines samples and runs. rows: the mean over the runs of each row; its groups are the units drawn."""
    return OverRuns(
        rows,
        base=measure_spread(runs.base, rows.groups),
        target=measure_spread(runs.target, rows.groups),
        n=len(rows.before),
    )


def measure_spread(scores: Floats, groups: Ints | None) -> SideSpread:
    """The spread of a side's scores (runs, rows). groups: (rows,) the units drawn; None: single rows."""
    count, n = scores.shape
    if count == 1:
        return SideSpread(1, 0.0, 0.0, 0)
    means = scores.mean(axis=1)
    # the part of each score that neither the mean of its row nor that of its run explains
    scatter = scores - scores.mean(axis=0) - (means - means.mean())[:, None]
    scatter[np.abs(scatter) <= _ROUNDING * np.abs(scores).max()] = 0.0
    if groups is not None:
        member = np.unique(groups, return_inverse=True)[1]
        scatter = np.stack([np.bincount(member, weights=line) for line in scatter])
    chance = float((scatter**2).sum()) / (count - 1) / n**2
    return SideSpread(count, float(means.var(ddof=1)), chance, count - 1)
