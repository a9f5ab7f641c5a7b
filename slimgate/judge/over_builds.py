"""A metric of a recipe: the mean over all builds that it could give and all possible rows.

A suite builds a variant once for each of its seeds. All builds answer the same gate rows, and there is one
teacher. So builds and rows are crossed: the mean drop varies with the rows that were drawn and with the
builds.

    bound = mean drop ± sqrt(rows² + (t_(k-1) × sd / sqrt(k))²)

rows: how far the bound over the rows is from the mean, for the drop averaged over the builds row by row. sd:
the standard deviation of the k builds' drops on these rows; t_(k-1): Student's, since k is small.

The root of the sum of squares is Banerjee's bound. It holds for any k from 2 on, whatever the shares of the
two variances: for normal means and a level under a half the chance that it is exceeded is at most that level.
The chance changes of single rows in single builds are in both parts, so they count twice, which makes
INCONCLUSIVE more likely. It assumes that builds are draws of one normal distribution. Three builds do not
show a recipe that breaks in one of ten.

For a metric that is not a mean over rows (F1, ROC-AUC, …), `rows` is the mean of the builds' own distances:
the standard error of a mean is at most the mean of the standard errors.

reports/simulations/build_verdicts.md has the error rates.

Sources: Banerjee 1960, Sankhyā 22:357-358; Zou and Donner 2008, Stat. Med. 27:1693-1702, for bounds that are
not symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot, sqrt
from typing import NamedTuple

import numpy as np

from slimgate.judge.contrast import Contrast, Interval, PairedByInterval, PairedValues, find_smallest_level
from slimgate.judge.decision import ALPHA, POWER_FACTOR, is_at_limit, t_quantile
from slimgate.judge.evidence import pair_values
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.judge.metrics.base import Metric, compute_value
from slimgate.outcomes import Floats, Outcomes, check_same_rows

# The largest number of builds that a message suggests.
MOST_BUILDS = 20


class BuildsNeeded(NamedTuple):
    """The plan that would decide a budget 80 % of the time if all stays as measured; None if none would.

    rows: how many rows, with the same builds. builds: how many builds, on the same rows. needs_both: neither
    is enough alone; then `rows` and `builds` together are.
    """

    rows: int | None
    builds: int | None
    needs_both: bool = False


@dataclass(frozen=True, eq=False)
class OverBuilds(PairedByInterval):
    """A metric of the teacher, before, and of each build on the same n rows, after (builds,).

    rows: the evidence of the rows on each build, or one on the mean of the builds row by row. capped: the
    rows of each build if they count for at most a cap; else empty.
    """

    before: float
    after: Floats
    rows: Sequence[PairedValues]
    n: int
    capped: Sequence[PairedMeans] = ()

    @property
    def count(self) -> int:
        """How many builds."""
        return len(self.after)

    def compute_values(self, contrast: Contrast) -> Floats:
        """(builds,) the contrast of each build, with the cap as the evidence of the rows has it."""
        if self.capped:
            return np.array([pair.compute_losses(contrast).mean for pair in self.capped])
        return contrast(np.full(self.count, self.before), self.after)

    def compute_value(self, contrast: Contrast) -> float:
        """The mean over the builds."""
        return float(self.compute_values(contrast).mean())

    def compute_bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """Banerjee's bounds: rows and builds are two samples."""
        middle = self.compute_value(contrast)
        between = self.compute_reach_of_builds(contrast, alpha, self.count)
        below, above = self._compute_reach_of_rows(contrast, alpha)
        return middle - hypot(below, between), middle + hypot(above, between)

    def p_at_least(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at least `limit`"."""
        return find_smallest_level(lambda alpha: self.excludes(contrast, limit, alpha, above=True))

    def p_at_most(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at most `limit`"."""
        return find_smallest_level(lambda alpha: self.excludes(contrast, limit, alpha, above=False))

    def excludes(self, contrast: Contrast, limit: float, alpha: float, *, above: bool) -> bool:
        """Whether `limit` is above the upper bound, or else below the lower one.

        It uses the p-value of the rows at the distance that remains after the builds' part, so it searches
        for no bound.
        """
        sign, value = (1 if above else -1), self.compute_value(contrast)
        distance, between = sign * (limit - value), self.compute_reach_of_builds(contrast, alpha, self.count)
        if distance <= between:
            return False
        left = sqrt(distance**2 - between**2)
        if len(self.rows) > 1:
            return self._compute_reach_of_rows(contrast, alpha)[int(above)] < left
        test = self.rows[0].p_at_least if above else self.rows[0].p_at_most
        return test(contrast, value + sign * left) <= alpha

    def compute_reach_of_builds(self, contrast: Contrast, alpha: float, count: int) -> float:
        """How far the bound would be from the mean by the spread of `count` builds alone."""
        spread = float(self.compute_values(contrast).std(ddof=1))
        return t_quantile(count - 1, alpha) * spread / sqrt(count)

    def _compute_reach_of_rows(self, contrast: Contrast, alpha: float) -> tuple[float, float]:
        """How far the bounds are from the mean by the rows alone."""
        values = self.compute_values(contrast) if len(self.rows) > 1 else [self.compute_value(contrast)]
        reaches = [
            (value - low, high - value)
            for value, (low, high) in zip(
                values, (evidence.compute_bounds(contrast, alpha) for evidence in self.rows), strict=True
            )
        ]
        below, above = np.maximum(reaches, 0.0).mean(axis=0)
        return float(below), float(above)

    def compute_standard_error(self, contrast: Contrast) -> float:
        """The standard error of the mean, from rows and builds."""
        of_rows = float(np.mean([evidence.compute_standard_error(contrast) for evidence in self.rows]))
        return hypot(of_rows, float(self.compute_values(contrast).std(ddof=1)) / sqrt(self.count))

    def compute_copies_needed(self, contrast: Contrast, limit: float) -> float | None:
        """The factor on the rows that would decide, with the same builds; None if no number of rows would."""
        needed = self.compute_needed(contrast, limit)
        return None if needed.rows is None or needed.needs_both else needed.rows / self.n

    def compute_needed(self, contrast: Contrast, limit: float, *, stretch: float = 1.0) -> BuildsNeeded:
        """The rows or builds that would decide on which side of `limit` the mean is.

        stretch: the factor on the distance to `limit`, in standard errors, compared with a one-sided budget.
        """
        value = self.compute_value(contrast)
        if is_at_limit(value, limit):
            return BuildsNeeded(None, None)
        below, above = self._compute_reach_of_rows(contrast, ALPHA)
        of_rows = (above if value < limit else below) ** 2
        room = ((limit - value) / (stretch * POWER_FACTOR)) ** 2

        def rows_needed(count: int) -> int | None:
            """The rows needed with this number of builds; None if no number is enough."""
            left = room - self.compute_reach_of_builds(contrast, ALPHA, count) ** 2
            return ceil(self.n * max(of_rows / left, 1.0)) if left > 0 else None

        more = range(self.count + 1, MOST_BUILDS + 1)
        builds = next((k for k in more if (rows := rows_needed(k)) is not None and rows <= self.n), None)
        alone = rows_needed(self.count)
        if alone is None and builds is None:
            # enough builds that their spread takes up at most half of the room
            counts = (k for k in more if self.compute_reach_of_builds(contrast, ALPHA, k) ** 2 <= room / 2)
            if (count := next(counts, None)) is None:
                return BuildsNeeded(None, None)
            return BuildsNeeded(rows_needed(count), count, needs_both=True)
        return BuildsNeeded(alone, builds)


def combine_builds(
    metric: Metric, teacher: Outcomes, builds: Sequence[Outcomes], *, seed: int, resamples: int | None
) -> OverBuilds:
    """Combines the teacher with two or more builds of a variant, all on the same rows.

    Raises MeasureError if the rows are not the same, or the metric is not defined on them.
    """
    for outcomes in builds:
        check_same_rows(teacher, outcomes)
    pairs = [pair_values(metric, teacher, outcomes, seed=seed, resamples=resamples) for outcomes in builds]
    means = [pair for pair in pairs if isinstance(pair, PairedMeans)]
    after = np.array([compute_value(metric, outcomes) for outcomes in builds])
    rows = [_average_pairs(means)] if len(means) == len(pairs) else pairs
    capped = [pair for pair in means if pair.cap is not None]
    return OverBuilds(
        before=compute_value(metric, teacher), after=after, rows=rows, n=len(teacher), capped=capped
    )


def _average_pairs(pairs: Sequence[PairedMeans]) -> PairedMeans:
    """Teacher and the builds' mean, row by row."""
    uncapped = [pair.uncapped for pair in pairs if pair.uncapped is not None]
    return replace(
        pairs[0],
        after=np.mean([pair.after for pair in pairs], axis=0),
        ends=_find_widest([pair.ends for pair in pairs]),
        uncapped=_find_widest(uncapped) if uncapped else None,
        most_lost=max(pair.most_lost for pair in pairs),
    )


def _find_widest(ends: Sequence[Interval]) -> Interval:
    """From the lowest to the highest end."""
    lows, highs = zip(*ends, strict=True)
    return min(lows), max(highs)
