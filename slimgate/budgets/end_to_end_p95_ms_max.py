"""95 % of the calls are under the limit from text to answer."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="end_to_end_p95_ms_max",
    table="latency",
    limit="95 % of the calls under {:g} ms end to end",
    title="p95",
    value_name="end to end p95",
    unit="ms",
    part="e2e",
)
