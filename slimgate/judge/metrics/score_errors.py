"""Mean squared and mean absolute error of a model's scores, in the unit of the gold ones (mse: squared).

An error has no upper end. A row counts for a change of at most the cap, by default the error from one end of
the gold scores to the other, and the share of rows that lose more is judged too; see `capped`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf

import numpy as np

from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.row_sums import mean_of, row_mean, statistic_of_sums
from slimgate.outcomes import Floats, Outcomes

OfErrors = Callable[[Floats], Floats]


def _metric(name: str, of_errors: OfErrors) -> Metric:
    def rows(outcomes: Outcomes) -> Floats:
        return of_errors(outcomes.column("score") - outcomes.column("gold"))

    def ends(_teacher: Outcomes, _variant: Outcomes) -> tuple[float, float]:
        return 0.0, inf

    def span(teacher: Outcomes, _variant: Outcomes) -> float:
        """From one end of the gold scores to the other."""
        width = float(of_errors(np.ptp(teacher.column("gold"), keepdims=True))[0])
        return width if width > 0 else 1.0

    row_sums = mean_of(rows)
    return Metric(
        name=name,
        higher_is_better=False,
        value_range=(0.0, inf),
        needs="score",
        statistic=statistic_of_sums(row_sums),
        row_sums=row_sums,
        row_mean=replace(row_mean(rows, ends), cap=span),
    )


METRICS: Mapping[str, Metric] = {
    "mse": _metric("mse", np.square),
    "mae": _metric("mae", np.abs),
}
