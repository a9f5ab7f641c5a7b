"""The growth is under limit x teacher; for metrics where lower is better."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, is_better_lower

kind = MetricBudgetKind(
    name="increase_relative",
    order=4,
    question="share of value",
    key=(
        "Allowed growth of a loss or perplexity, as a share of the teacher's value: 0.03 is 3 %. A "
        "limit of 1 or more needs a reason."
    ),
    limit="grows by at most {:g} %",
    percent=True,
    suits=is_better_lower,
    why_not="it is for metrics where lower is better",
    allowed_drop=lambda limit, teacher: limit * teacher,
)
