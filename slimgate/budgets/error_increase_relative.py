"""The drop is under limit x (1 - teacher); for metrics from 0 to 1 where higher is better."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, has_error_rate

kind = MetricBudgetKind(
    name="error_increase_relative",
    order=3,
    question="share of errors",
    key="Allowed growth of the error rate, as a share of the teacher's error rate.",
    limit="errors grow by at most {:g} %",
    percent=True,
    suits=has_error_rate,
    why_not="it needs a metric from 0 to 1 where higher is better, so that 1 - value is an error rate",
    allowed_drop=lambda limit, teacher: limit * (1 - teacher),
)
