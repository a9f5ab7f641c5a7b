"""The variant's figure of a measurement / the teacher's is at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="value_ratio_max",
    table="measurements",
    limit="at most {:g} of the teacher's",
    title="ratio",
)
