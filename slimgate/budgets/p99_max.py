"""At most 1 % of the tokens has a KL above the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="p99_max",
    table="kl",
    limit="at most {:g} nats in 99 % of the tokens",
    title="KL, 99 %",
    value_name="KL of 99 % of the tokens at most",
    unit=" nats",
)
