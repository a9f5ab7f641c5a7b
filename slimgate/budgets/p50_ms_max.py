"""The median of a call is at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="p50_ms_max",
    table="latency",
    limit="median at most {:g} ms",
    title="p50",
    value_name="p50",
    unit="ms",
)
