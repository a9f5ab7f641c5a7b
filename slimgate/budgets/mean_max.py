"""The mean KL of the next token is at most the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="mean_max",
    table="kl",
    limit="at most {:g} nats a token",
    title="KL, mean",
    value_name="mean KL",
    unit=" nats",
)
