"""The variant's own value is at least the limit; for metrics where higher is better."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, is_better_higher

kind = MetricBudgetKind(
    name="floor",
    order=5,
    question="own value",
    key="Least value of the metric; the interval of the variant's value decides.",
    key_of_teacher="Least value of the teacher's metric.",
    above=None,
    limit="at least {:g}",
    is_minimum=True,
    suits=is_better_higher,
    why_not="it is for metrics where higher is better",
    allowed_drop=lambda limit, teacher: teacher - limit,
)
