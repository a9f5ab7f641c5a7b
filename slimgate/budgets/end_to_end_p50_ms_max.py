"""The median from text to answer is at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="end_to_end_p50_ms_max",
    table="latency",
    limit="median end to end at most {:g} ms",
    title="p50",
    value_name="end to end p50",
    unit="ms",
    part="e2e",
)
