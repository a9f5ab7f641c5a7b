"""The variant's own value is at most the limit; for metrics where lower is better."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, is_better_lower

kind = MetricBudgetKind(
    name="ceiling",
    order=6,
    question="own value",
    key="Largest value of the metric, for metrics where lower is better; the interval of the "
    "variant's value decides.",
    key_of_teacher="Largest value of the teacher's metric, for metrics where lower is better.",
    above=None,
    limit="at most {:g}",
    suits=is_better_lower,
    why_not="it is for metrics where lower is better",
    allowed_drop=lambda limit, teacher: limit - teacher,
)
