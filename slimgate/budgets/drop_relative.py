"""The drop is under limit x teacher; for metrics where higher is better."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, is_better_higher

kind = MetricBudgetKind(
    name="drop_relative",
    order=2,
    question="share of value",
    key="Share of the teacher's value that the metric may lose.",
    below=1.0,
    limit="loses at most {:g} % of the teacher's value",
    percent=True,
    suits=is_better_higher,
    why_not="it is for metrics where higher is better",
    allowed_drop=lambda limit, teacher: limit * teacher,
)
