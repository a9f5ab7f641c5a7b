"""The mean length of the variant's answers, divided by that of the teacher's, is at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, is_answer_length

kind = MetricBudgetKind(
    name="length_ratio_max",
    order=7,
    question="ratio",
    key="Largest mean length of an answer, as a multiple of the teacher's mean length: 1.1 allows "
    "10 % more tokens.",
    limit="answers at most {:g}× as long",
    suits=is_answer_length,
    why_not="it is for answer_length",
    allowed_drop=lambda limit, teacher: (limit - 1) * teacher,
)
