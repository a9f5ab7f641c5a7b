"""Teacher time / variant time from text to answer is at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="end_to_end_speedup_min",
    table="latency",
    limit="at least {:g}× as fast end to end",
    is_minimum=True,
    part="e2e",
)
