"""Teacher bytes / variant bytes is at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="compression_min",
    table="size",
    limit="at least {:g}× smaller",
    is_minimum=True,
)
