"""Of the weights in the variant's blocks, at least this share is stored in fewer than 16 bits."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

kind = BudgetKind(
    name="quantized_share_min",
    table="size",
    limit="at least {:g} % of the blocks' weights quantized",
    percent=True,
    is_minimum=True,
)
