"""The paired bootstrap: a metric of both models on the same resamples, and its BCa interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from slimgate.judge.contrast import ByInterval, Contrast, Interval
from slimgate.judge.decision import LEVEL
from slimgate.judge.extremes import with_extremes, with_pseudo_changes
from slimgate.judge.group_resamples import (
    GroupResamples,
    bounds_at,
    finite_columns,
    group_resamples,
    median_bias,
)
from slimgate.judge.metrics.base import Metric, check_follows_weights
from slimgate.judge.metrics.confusion import weighted_counts
from slimgate.judge.resampling import ResampledSums, Resampler, of_outcomes, resampler
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes

# Chance moves a bound (its quantile and its bias correction) by 0.03 standard errors with 10,000 resamples,
# by 0.08 with 2,000. Cells and sums are cheap; rows are not, and 0.08 turns an error rate of 5 % into 5.05 %.
CELL_RESAMPLES = 10_000
ROW_RESAMPLES = 2_000
# A denominator of the correction below this means the end of the resamples.
_NO_END = 1e-9


@dataclass(frozen=True, eq=False)
class PairedResamples(ByInterval):
    """A metric of teacher (line 0) and variant (line 1), pseudo-changes included.

    sample: (2,); resampled: (2, resamples); left_out: (2, k) with one unit or block left out, each of which
    stands for left_out_counts (k,) equal ones.
    """

    sample: Floats
    resampled: Floats
    left_out: Floats
    left_out_counts: Ints

    def value(self, contrast: Contrast) -> float:
        """The contrast of the sample."""
        return float(contrast(*self.sample))

    def bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """The BCa bounds of contrast(teacher value, variant value)."""
        return bca_interval(
            self.value(contrast),
            contrast(*self.resampled),
            contrast(*self.left_out),
            self.left_out_counts,
            level=1 - 2 * alpha,
        )

    def standard_error(self, contrast: Contrast) -> float:
        """The standard deviation of the contrast over the resamples."""
        return float(contrast(*self.resampled).std(ddof=1))


def paired_resamples(
    metric: Metric, teacher: Outcomes, variant: Outcomes, *, seed: int, resamples: int | None = None
) -> PairedResamples | GroupResamples:
    """Resamples rows with one pseudo-change each way; weighs whole groups where there are groups.

    resamples: default 10,000 for metrics of the confusion matrix or of sums over rows, 2,000 for others.
    Raises MeasureError where the metric is not finite, or undefined in over 1 % of the resamples.
    """
    if resamples is None:
        cheap = metric.from_confusion is not None or metric.row_sums is not None
        resamples = CELL_RESAMPLES if cheap else ROW_RESAMPLES
    rng = np.random.default_rng(seed)
    if not (isinstance(teacher, ClassOutcomes) and isinstance(variant, ClassOutcomes)):
        return resample_sums(metric.name, with_extremes(metric, teacher, variant), rng, resamples)
    if metric.from_confusion is not None:  # its pseudo-changes copy every column
        teacher, variant = replace(teacher, probabilities=None), replace(variant, probabilities=None)
    both = with_pseudo_changes(metric, teacher, variant)
    if metric.row_sums is not None:
        return resample_sums(metric.name, of_outcomes(metric.row_sums, *both), rng, resamples)
    if metric.from_confusion is None:
        check_follows_weights(metric, variant)
    if both[0].groups is not None:
        return _resample_weights(metric, *both, rng, resamples)
    drawn_from = resampler(metric, *both)
    resampled = np.concatenate(
        [_both(metric, drawn_from, weights) for weights in drawn_from.draws(rng, resamples)], axis=1
    )
    left_out = [
        (_both(metric, drawn_from, weights), counts) for weights, counts in drawn_from.leave_one_out(rng)
    ]
    return PairedResamples(
        sample=_both(metric, drawn_from, drawn_from.sample_weights),
        resampled=finite_columns(metric.name, resampled),
        left_out=np.concatenate([values for values, _ in left_out], axis=1),
        left_out_counts=np.concatenate([counts for _, counts in left_out]),
    )


def paired_weights(
    metric: Metric, teacher: ClassOutcomes, variant: ClassOutcomes, *, seed: int, resamples: int | None = None
) -> GroupResamples:
    """Random weights of rows, or of whole groups, for a metric of which no more is known than its statistic.

    The bounds are the wider of the quantiles and those with their bias corrected: with the quantiles alone,
    a drop of the margin passed in 8.5 % of the samples of PR-AUC with 150 positives among 3,000 rows, with
    the correction alone in 49 % of those of 300 rows with a few surely wrong ones.
    resamples: default 2,000. Raises MeasureError as `paired_resamples`.
    """
    check_follows_weights(metric, variant)
    both = with_pseudo_changes(metric, teacher, variant)
    found = _resample_weights(metric, *both, np.random.default_rng(seed), resamples or ROW_RESAMPLES)
    return replace(found, bias_corrected=True)


def _resample_weights(
    metric: Metric, teacher: ClassOutcomes, variant: ClassOutcomes, rng: np.random.Generator, resamples: int
) -> GroupResamples:
    drawn_from = resampler(metric, teacher, variant)
    return group_resamples(
        metric.name,
        lambda weights: _both(metric, drawn_from, drawn_from.columns_of(weights)),
        len(drawn_from.units),
        columns=drawn_from.widest,
        rng=rng,
        resamples=resamples,
    )


def resample_sums(
    name: str, drawn_from: ResampledSums, rng: np.random.Generator, resamples: int
) -> PairedResamples | GroupResamples:
    """Resamples of sums over rows. Raises MeasureError where over 1 % of them are undefined."""
    if drawn_from.grouped:
        units = drawn_from.units
        return group_resamples(name, drawn_from.values_of, units, columns=units, rng=rng, resamples=resamples)
    left_out = drawn_from.leave_one_out()
    return PairedResamples(
        sample=drawn_from.sample(),
        resampled=finite_columns(name, np.concatenate(list(drawn_from.draws(rng, resamples)), axis=1)),
        left_out=left_out,
        left_out_counts=np.ones(left_out.shape[1], dtype=np.int64),
    )


def _both(metric: Metric, drawn_from: Resampler, weights: Floats) -> Floats:
    """(columns,) or (k, columns) weights -> (2,) or (2, k) values."""
    return np.stack(
        [_values(metric, outcomes, weights) for outcomes in (drawn_from.teacher, drawn_from.variant)]
    )


def _values(metric: Metric, outcomes: ClassOutcomes, weights: Floats) -> Floats:
    if metric.from_confusion is None:
        return metric.statistic(outcomes, weights)
    # without the checks of the statistic, which take as long as the counts
    return metric.from_confusion(weighted_counts(outcomes, weights))


def bca_interval(
    sample: float, resampled: Floats, left_out: Floats, counts: Ints, *, level: float = LEVEL
) -> tuple[float, float]:
    """Bias-corrected and accelerated interval of one number.

    resampled: (resamples,); left_out: (k,) jackknife values, each standing for counts (k,) equal ones.
    Source: Efron 1987, JASA 82:171-185.
    """
    from scipy.special import ndtr, ndtri

    bias = median_bias(sample, resampled)
    shifted = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    # at levels far below 5 % the denominator can fall below 0, which would turn the bound round
    denominator = np.maximum(1 - _acceleration(left_out, counts) * shifted, _NO_END)
    return bounds_at(resampled, ndtr(bias + shifted / denominator))


def _acceleration(left_out: Floats, counts: Ints) -> float:
    """A sixth of the jackknife's skewness, in [-1/6, 1/6]; 0 where no unit changes anything."""
    finite = np.isfinite(left_out)
    values, weights = left_out[finite], counts[finite]
    deviations = np.average(values, weights=weights) - values if len(values) else values
    spread = (weights * deviations**2).sum()
    if spread == 0:
        return 0.0
    return float((weights * deviations**3).sum() / (6 * spread**1.5))
