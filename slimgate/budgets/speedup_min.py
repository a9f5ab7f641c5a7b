"""Teacher time / variant time of a call is at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="speedup_min",
    table="latency",
    limit="at least {:g}× as fast",
    is_minimum=True,
)
