"""What the rows say of a metric that is a mean over rows or a rate: by the bound of `mean_bound`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.contrast import Contrast, Interval
from slimgate.judge.decision import ALPHA
from slimgate.judge.mean_bound import UnitLosses, unit_losses
from slimgate.judge.metrics.base import Metric, RowMean
from slimgate.outcomes import Floats, Ints, Outcomes

METHOD = "Gaffke's bound"


@dataclass(frozen=True, eq=False)
class PairedMeans:
    """Amounts of teacher and variant on the same rows, and the sizes that they are rates of.

    before, after, sizes: (rows,); groups: (rows,) ids, or None. ends: the lowest and the highest amount per
    unit of size; most_lost: by how much a row can change, at most from end to end.
    """

    before: Floats
    after: Floats
    sizes: Floats
    groups: Ints | None
    ends: tuple[float, float]
    most_lost: float

    def losses(self, contrast: Contrast) -> UnitLosses:
        """The contrast of each unit, as a loss."""
        values = (
            contrast.teacher * self.before + contrast.variant * self.after + contrast.constant * self.sizes
        )
        best, worst = self._range(contrast)
        return unit_losses(values, self.sizes, self.groups, best=best, worst=worst)

    def bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """Its bounds, each at a one-sided level `alpha`."""
        return self.losses(contrast).interval(alpha)

    def interval(self, contrast: Contrast) -> Interval:
        """Its two-sided 90 % interval."""
        return self.bounds(contrast, ALPHA)

    def p_at_least(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at least `limit`"."""
        return self.losses(contrast).p_at_least(limit)

    def p_at_most(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at most `limit`"."""
        return self.losses(contrast).p_at_most(limit)

    def upper_sign(self, contrast: Contrast) -> float:
        """Above 0 where the upper bound is: the p-value of 0 is above the level."""
        return self.p_at_least(contrast, 0.0) - ALPHA

    def lower_sign(self, contrast: Contrast) -> float:
        """Below 0 where the lower bound is."""
        return ALPHA - self.p_at_most(contrast, 0.0)

    def copies_needed(self, contrast: Contrast, limit: float) -> float | None:
        """How many times as many rows tell on which side of `limit` it is, 80 % of the time; None if it is on
        it.
        """
        return self.losses(contrast).copies_needed(limit)

    def standard_error(self, contrast: Contrast) -> float:
        """Its standard error."""
        return self.losses(contrast).standard_error

    def _range(self, contrast: Contrast) -> Interval:
        """The smallest and the largest contrast that a row can have: both are at corners."""
        low, high = self.ends
        change = min(self.most_lost, high - low)
        before = np.array([low, low, low + change, high - change, high, high])
        after = np.array([low, low + change, low, high, high - change, high])
        values = contrast(before, after)
        return float(values.min()), float(values.max())


def paired_means(metric: Metric, row_mean: RowMean, teacher: Outcomes, variant: Outcomes) -> PairedMeans:
    """Raises MeasureError where the sizes of the two models differ, one is below 0, or all are 0."""
    (before, sizes), (after, others) = row_mean.of(teacher), row_mean.of(variant)
    if not np.array_equal(sizes, others):
        raise MeasureError(
            f"{metric.name}: teacher and variant count rows of other sizes, so they do not compare"
        )
    if sizes.min() < 0 or sizes.max() <= 0:
        raise MeasureError(
            f"{metric.name}: the sizes of the {len(sizes)} rows are {sizes.min():g} to {sizes.max():g}, "
            "expected none below 0 and at least one above"
        )
    ends = row_mean.ends(teacher, variant)
    most = ends[1] - ends[0] if row_mean.most_lost is None else row_mean.most_lost(teacher, variant)
    return PairedMeans(before, after, sizes.astype(np.float64), teacher.groups, ends, most)
