"""The variant's operations of one row / the teacher's are at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="ratio_max",
    table="flops",
    limit="at most {:g} of the teacher's FLOPs",
)
