"""The tokens that the rows of a call get in a second are at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="tokens_per_second_min",
    table="latency",
    limit="at least {:g} tokens a second",
    title="tokens a second",
    value_name="median",
    unit="tokens/s",
    is_minimum=True,
    part="answer",
)
