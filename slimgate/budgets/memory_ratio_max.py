"""The variant's peak memory / the teacher's is at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="memory_ratio_max",
    table="memory",
    limit="peak at most {:g} of the teacher's",
)
