"""The share of tokens whose likeliest next token is the teacher's is at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="floor",
    table="top1_agreement",
    limit="at least {:g}",
    title="same top-1",
    value_name="same likeliest token",
    is_minimum=True,
)
