"""Mean squared and mean absolute error of a model's scores, in the unit of the gold ones (mse: squared)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import numpy as np

from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.row_sums import mean_of, row_mean, statistic_of_sums
from slimgate.outcomes import Floats, Outcomes

OfErrors = Callable[[Floats], Floats]


def _metric(name: str, of_errors: OfErrors) -> Metric:
    def rows(outcomes: Outcomes) -> Floats:
        return of_errors(outcomes.column("score") - outcomes.column("gold"))

    def ends(teacher: Outcomes, variant: Outcomes) -> tuple[float, float]:
        """0, and the largest of the errors: seen in either model, or from one end of the gold scores to the
        other.
        """
        span = np.ptp(teacher.column("gold"), keepdims=True)
        return 0.0, float(max(of_errors(span)[0], rows(teacher).max(), rows(variant).max()))

    row_sums = mean_of(rows)
    return Metric(
        name=name,
        higher_is_better=False,
        value_range=(0.0, inf),
        needs="score",
        statistic=statistic_of_sums(row_sums),
        row_sums=row_sums,
        row_mean=row_mean(rows, ends),
    )


METRICS: Mapping[str, Metric] = {
    "mse": _metric("mse", np.square),
    "mae": _metric("mae", np.abs),
}
