"""The mean length of the variant's answers / that of the teacher's is at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, is_answer_length

kind = MetricBudgetKind(
    name="length_ratio_min",
    order=8,
    question="ratio",
    key="Least mean length of an answer, as a multiple of the teacher's mean length: 0.8 allows 20 "
    "% fewer tokens.",
    limit="answers at least {:g}× as long",
    is_minimum=True,
    suits=is_answer_length,
    why_not="it is for answer_length",
    allowed_drop=lambda limit, teacher: (1 - limit) * teacher,
)
