"""At most this percentage of the gate rows turns from right to wrong."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="flips_max_percent",
    table="flips",
    limit="at most {:g} % of the rows right to wrong",
    title="flips",
)
