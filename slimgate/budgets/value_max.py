"""The variant's own figure of a measurement is at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="value_max",
    table="measurements",
    limit="at most {:g}",
    title="value",
)
