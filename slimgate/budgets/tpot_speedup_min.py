"""Teacher time / variant time of each later token is at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="tpot_speedup_min",
    table="latency",
    limit="later tokens at least {:g}× as fast",
    is_minimum=True,
    part="tpot",
)
