"""95 % of the first tokens are under the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="ttft_p95_ms_max",
    table="latency",
    limit="95 % of the first tokens under {:g} ms",
    title="p95",
    value_name="first token p95",
    unit="ms",
    part="ttft",
)
