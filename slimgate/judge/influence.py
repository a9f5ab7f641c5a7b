"""Intervals by influence values: how much each row moves a metric, instead of resampling the rows.

For ROC-AUC the influence values are DeLong's structural components. Their plain normal interval is too
short where few rows change: with 1 % of the rows turned round it passed a drop equal to its margin in 26 % of
simulated runs at n = 200 and 11 % at n = 3,000. One pseudo-change each way and a correction for skewness
bring that to at most 6 % (with the pseudo-changes alone 8 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from slimgate.judge.contrast import ByInterval, Contrast, Interval
from slimgate.judge.decision import t_quantile, z_quantile
from slimgate.judge.extremes import with_pseudo_changes
from slimgate.judge.metrics.base import Influence, Metric
from slimgate.outcomes import ClassOutcomes, Floats


@dataclass(frozen=True, eq=False)
class PairedInfluence(ByInterval):
    """A metric of teacher (line 0) and variant (line 1), pseudo-changes included.

    sample: (2,); influence: (2, units) of rows, or summed over the rows of each group; rows: how many.
    grouped: whether the units are groups, whose number limits what is known of their variance.
    """

    sample: Floats
    influence: Floats
    rows: int
    grouped: bool

    def value(self, contrast: Contrast) -> float:
        """The contrast of the sample."""
        return float(contrast(*self.sample))

    def bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """Normal bounds (Student's t for groups), both moved by the skewness.

        Source: Johnson 1978, JASA 73:536-544; Hall 1992, J. R. Stat. Soc. B 54:221-228: to the same order
        the shift of a bias-corrected bootstrap of a mean.
        """
        middle = self.value(contrast)
        values = self._of(contrast)
        error = self.standard_error(contrast)
        if error == 0:
            return middle, middle
        skewness = (values**3).sum() / (6 * (values**2).sum() ** 1.5)
        normal = z_quantile(alpha)
        z = t_quantile(values.size - 1, alpha) if self.grouped else normal
        shift = float(skewness) * (2 * normal**2 + 1)
        return middle + (shift - z) * error, middle + (shift + z) * error

    def standard_error(self, contrast: Contrast) -> float:
        """Root of the sum of the squared influence values over the number of rows."""
        values = self._of(contrast)
        # of one group alone nothing is learned about the variation between groups
        spread = values.size / max(values.size - 1, 0.5) if self.grouped else 1.0
        return sqrt(spread * float((values**2).sum())) / self.rows

    def _of(self, contrast: Contrast) -> Floats:
        """(units,) the influence values of a linear contrast; its constant moves with no row."""
        return np.asarray(contrast.teacher * self.influence[0] + contrast.variant * self.influence[1])


def paired_influence(
    metric: Metric, influence: Influence, teacher: ClassOutcomes, variant: ClassOutcomes
) -> PairedInfluence:
    """Influence values with one pseudo-change each way; rows of a group summed up (Obuchowski 1997).

    Raises MeasureError where the metric is not defined on the rows.
    """
    padded = with_pseudo_changes(metric, teacher, variant)
    unit_weights = np.ones(len(padded[0]))
    values = np.stack([influence(outcomes) for outcomes in padded])
    groups = padded[0].groups
    if groups is not None:
        _, member = np.unique(groups, return_inverse=True)
        values = np.stack([np.bincount(member, weights=line) for line in values])
    return PairedInfluence(
        sample=np.array([float(metric.statistic(outcomes, unit_weights)) for outcomes in padded]),
        influence=values,
        rows=len(unit_weights),
        grouped=groups is not None,
    )
