"""Budgets on changed answers: flips, slices, and the probabilities of the next token."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

FLIPS_MAX_PERCENT = "flips_max_percent"
KINDS = (
    BudgetKind(
        name=FLIPS_MAX_PERCENT,
        table="flips",
        limit_text="at most {:g} % of the rows right to wrong",
        title="flips",
    ),
    BudgetKind(
        name="drop_points",
        table="slices",
        limit_text="drop at most {:g} {points} in every slice",
    ),
    BudgetKind(
        name="mean_max",
        table="kl",
        limit_text="at most {:g} nats a token",
        title="KL, mean",
        value_name="mean KL",
        unit=" nats",
    ),
    BudgetKind(
        name="p99_max",
        table="kl",
        limit_text="at most {:g} nats in 99 % of the tokens",
        title="KL, 99 %",
        value_name="KL of 99 % of the tokens at most",
        unit=" nats",
    ),
    BudgetKind(
        name="p999_max",
        table="kl",
        limit_text="at most {:g} nats in 99.9 % of the tokens",
        title="KL, 99.9 %",
        value_name="KL of 99.9 % of the tokens at most",
        unit=" nats",
    ),
    BudgetKind(
        name="floor",
        table="top1_agreement",
        limit_text="at least {:g}",
        title="same top-1",
        value_name="same likeliest token",
        is_minimum=True,
    ),
)
