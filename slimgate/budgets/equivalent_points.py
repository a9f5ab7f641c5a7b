"""Drop and gain are under limit / 100; for metrics with bounded values.

Two one-sided tests at 5 % each must show that the variant is neither worse nor better by the limit or more
(TOST). Source: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680.
"""

from __future__ import annotations

from math import isfinite

from slimgate.budgets.base import MetricBudgetKind, has_drop_in_points

kind = MetricBudgetKind(
    name="equivalent_points",
    order=1,
    question="change",
    key="Percentage points that the metric may lose or gain; each direction is tested at 5 %.",
    at_most=100.0,
    limit="drop within ±{:g} points",
    # without a lowest and a highest value no sample shows how much a few rows can raise the mean
    suits=lambda metric: has_drop_in_points(metric) and all(map(isfinite, metric.value_range)),
    why_not="it needs a metric in points that has a lowest and a highest value",
    allowed_drop=lambda limit, _teacher: limit / 100,
)
