"""No slice loses the limit or more."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="drop_points",
    table="slices",
    limit="drop at most {:g} points in every slice",
)
