"""The evidence on a metric that is a mean over rows or a rate: by the bound of `mean_bound`."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.capped import CappedRows
from slimgate.judge.contrast import OWN_VALUE, Contrast, Interval
from slimgate.judge.decision import ALPHA
from slimgate.judge.mean_bound import UnitLosses, sum_by_unit
from slimgate.judge.metrics.base import Metric, RowMean
from slimgate.outcomes import Floats, Ints, Outcomes

MEAN_METHOD = "Gaffke's bound"
# Sums of many terms may exceed their ends by this much, relative to themselves.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class PairedMeans:
    """Amounts of teacher and variant on the same rows, and the sizes that they are rates of.

    before, after, sizes: (rows,); groups: (rows,) ids, or None. ends: the lowest and the highest amount per
    unit of size; most_lost: by how much a row can change, at most from end to end.
    cap: of amounts without an end, the most that the contrast of a row counts for; else None.
    uncapped: the ends of the variant's own amounts if a floor may limit them, which has no use for a cap: the
    lowest amount is known. The highest is that of the sample, for FAIL alone.
    """

    before: Floats
    after: Floats
    sizes: Floats
    groups: Ints | None
    ends: tuple[float, float]
    most_lost: float
    cap: float | None = None
    uncapped: tuple[float, float] | None = None

    def compute_losses(self, contrast: Contrast) -> UnitLosses:
        """The contrast of each unit, as a loss."""
        ends = self.uncapped if contrast == OWN_VALUE else None
        if self.cap is not None and ends is None:
            return self.make_capped_rows(contrast, self.cap).capped
        best, worst = ends or self._compute_range(contrast)
        return sum_by_unit(self.compute_values(contrast), self.sizes, self.groups, best=best, worst=worst)

    def compute_values(self, contrast: Contrast) -> Floats:
        """(rows,) the contrast of each row."""
        return contrast.teacher * self.before + contrast.variant * self.after + contrast.constant * self.sizes

    def make_capped_rows(self, contrast: Contrast, cap: float) -> CappedRows:
        """The contrast of each row, as a loss without an upper end."""
        lowest = self.ends[0] if contrast == OWN_VALUE else -inf
        return CappedRows(self.compute_values(contrast), self.sizes, self.groups, cap, lowest)

    def compute_bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """Its bounds, each at a one-sided level `alpha`."""
        return self.compute_losses(contrast).compute_interval(alpha)

    def compute_interval(self, contrast: Contrast) -> Interval:
        """Its two-sided 90 % interval."""
        return self.compute_bounds(contrast, ALPHA)

    def p_at_least(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at least `limit`"."""
        return self.compute_losses(contrast).p_at_least(limit)

    def p_at_most(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at most `limit`"."""
        return self.compute_losses(contrast).p_at_most(limit)

    def compute_upper_sign(self, contrast: Contrast) -> float:
        """Above 0 if the upper bound is: then the p-value of 0 is above the level."""
        return self.p_at_least(contrast, 0.0) - ALPHA

    def compute_lower_sign(self, contrast: Contrast) -> float:
        """Below 0 if the lower bound is."""
        return ALPHA - self.p_at_most(contrast, 0.0)

    def compute_copies_needed(self, contrast: Contrast, limit: float) -> float | None:
        """Factor on the rows to decide the side of `limit` 80 % of the time; None at the limit."""
        return self.compute_losses(contrast).compute_copies_needed(limit)

    def compute_standard_error(self, contrast: Contrast) -> float:
        """Its standard error."""
        return self.compute_losses(contrast).standard_error

    def _compute_range(self, contrast: Contrast) -> Interval:
        """The smallest and the largest contrast that a row can have: both are at corners."""
        low, high = self.ends
        change = min(self.most_lost, high - low)
        before = np.array([low, low, low + change, high - change, high, high])
        after = np.array([low, low + change, low, high, high - change, high])
        values = contrast(before, after)
        return float(values.min()), float(values.max())


def make_paired_means(metric: Metric, row_mean: RowMean, teacher: Outcomes, variant: Outcomes) -> PairedMeans:
    """The amounts and sizes of both models, as `row_mean` gives them.

    Raises MeasureError if the sizes of the two models differ, one is below 0, or all are 0, or if an amount
    is outside its ends.
    """
    (before, sizes), (after, variant_sizes) = row_mean.of(teacher), row_mean.of(variant)
    if not np.array_equal(sizes, variant_sizes):
        raise MeasureError(
            f"{metric.name}: rows have different sizes for teacher and variant, so the two cannot be compared"
        )
    if sizes.min() < 0 or sizes.max() <= 0:
        raise MeasureError(
            f"{metric.name}: the sizes of the {len(sizes)} rows are {sizes.min():g} to {sizes.max():g}, "
            "expected none below 0 and at least one above"
        )
    ends = row_mean.ends(teacher, variant)
    cap = None if row_mean.cap is None else row_mean.cap(teacher, variant)
    for name, outcomes, amounts in (("teacher", teacher, before), ("variant", variant, after)):
        _check_ends(metric, name, outcomes, amounts, sizes, ends)
    uncapped = None
    if not np.isfinite(ends).all():
        of_sample = _complete_ends(ends, before, after, sizes)
        if cap is None:
            ends = of_sample
        elif metric.higher_is_better and np.isfinite(ends[0]):
            uncapped = of_sample
    largest_loss = ends[1] - ends[0] if row_mean.most_lost is None else row_mean.most_lost(teacher, variant)
    return PairedMeans(
        before,
        after,
        sizes.astype(np.float64),
        teacher.groups,
        ends=ends,
        most_lost=largest_loss,
        cap=cap,
        uncapped=uncapped,
    )


def _check_ends(
    metric: Metric,
    name: str,
    outcomes: Outcomes,
    amounts: Floats,
    sizes: Floats,
    ends: tuple[float, float],
) -> None:
    """Raises MeasureError for a row outside the range that its metric declares; rounding is allowed for."""
    rates = _compute_rates(amounts, sizes)
    slack = _ROUNDING * np.maximum(1.0, np.abs(rates))
    outside = np.flatnonzero((sizes > 0) & ((rates < ends[0] - slack) | (rates > ends[1] + slack)))
    if len(outside):
        at = int(outside[0])
        raise MeasureError(
            f"{metric.name}: row {outcomes.ids[at]} of the {name} has {rates[at]:g}, outside of the range "
            f"{ends[0]:g} to {ends[1]:g} that the metric declares"
        )


def _compute_rates(amounts: Floats, sizes: Floats) -> Floats:
    return np.divide(amounts, sizes, out=np.zeros(len(amounts)), where=sizes > 0)


def _complete_ends(
    ends: tuple[float, float], before: Floats, after: Floats, sizes: Floats
) -> tuple[float, float]:
    """The range of the sample instead of unknown ends: for FAIL and intervals, never for PASS."""
    rates = np.concatenate([_compute_rates(amounts, sizes)[sizes > 0] for amounts in (before, after)])
    low, high = float(rates.min()), float(rates.max())
    return (ends[0] if np.isfinite(ends[0]) else low), (ends[1] if np.isfinite(ends[1]) else high)
