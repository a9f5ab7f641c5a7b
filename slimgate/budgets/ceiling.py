"""The variant's own value is at most the limit; for metrics where lower is better."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, is_better_lower

kind = MetricBudgetKind(
    name="ceiling",
    order=6,
    question="own value",
    key="Largest value of a loss; the variant's own interval decides.",
    key_of_teacher="Largest value of a loss of the teacher.",
    above=None,
    limit="at most {:g}",
    suits=is_better_lower,
    why_not="it is for metrics where lower is better",
    allowed_drop=lambda limit, teacher: limit - teacher,
)
