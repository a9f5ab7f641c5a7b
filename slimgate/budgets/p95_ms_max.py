"""95 % of the calls are under the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="p95_ms_max",
    table="latency",
    limit="95 % of the calls under {:g} ms",
    title="p95",
    value_name="p95",
    unit="ms",
)
