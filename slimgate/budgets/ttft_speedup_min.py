"""Teacher time / variant time until the first token is at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="ttft_speedup_min",
    table="latency",
    limit="first token at least {:g}× as fast",
    is_minimum=True,
    part="ttft",
)
