"""Made-up rows of outcomes without classes: one that falls from its best to its worst, and one that rises.

As in pseudo.py, so that few observed changes do not pass for none possible; the metric says what a usual
row's best and worst are.
"""

from __future__ import annotations

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import Metric
from slimgate.judge.pseudo import usual_group_size
from slimgate.judge.resampled_sums import ResampledSums
from slimgate.outcomes import Outcomes


def with_extremes(metric: Metric, teacher: Outcomes, variant: Outcomes) -> ResampledSums:
    """The sums of both models' rows, the made-up ones included; of grouped rows, whole made-up groups.

    Raises MeasureError for a metric that does not say what a row's best and worst are.
    """
    row_sums = metric.row_sums
    if row_sums is None or row_sums.extremes is None:
        raise MeasureError(
            f"{metric.name}: on outcomes without classes a metric needs row_mean, per_row, row_sums with "
            "extremes, documents or correlated; see Metric in slimgate/judge/metrics/base.py"
        )
    ends = row_sums.extremes(teacher)
    groups, size = teacher.groups, 1
    if groups is not None:
        size = usual_group_size(groups)
        groups = np.append(groups, groups.max() + np.repeat([1, 2], size))
    lost_and_won = np.repeat(ends, size, axis=0), np.repeat(ends[::-1], size, axis=0)
    both = [
        np.concatenate([row_sums.terms(outcomes), made_up])
        for outcomes, made_up in zip((teacher, variant), lost_and_won, strict=True)
    ]
    return ResampledSums(np.concatenate(both, axis=1), row_sums.value, groups)
