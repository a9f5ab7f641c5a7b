"""Budgets on the figure of a measurement."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

KINDS = (
    BudgetKind(
        name="value_max",
        table="measurements",
        limit_text="at most {:g}",
        title="value",
    ),
    BudgetKind(
        name="value_ratio_max",
        table="measurements",
        limit_text="at most {:g} of the teacher's",
        title="ratio",
    ),
)
