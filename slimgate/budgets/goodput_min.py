"""The requests a second that meet the service level are at least the limit."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="goodput_min",
    table="latency",
    limit="at least {:g} good requests a second",
    title="goodput",
    value_name="median",
    unit="good requests/s",
    is_minimum=True,
    part="answer",
)
