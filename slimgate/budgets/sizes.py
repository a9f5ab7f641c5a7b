"""Budgets on the size of the model, its memory and its operations."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

COMPRESSION_MIN = "compression_min"
KINDS = (
    BudgetKind(
        name=COMPRESSION_MIN,
        table="size",
        limit_text="at least {:g}× smaller",
        is_minimum=True,
    ),
    BudgetKind(
        name="quantized_share_min",
        table="size",
        limit_text="at least {:g} % of the blocks' weights quantized",
        percent=True,
        is_minimum=True,
    ),
    BudgetKind(
        name="memory_ratio_max",
        table="memory",
        limit_text="peak at most {:g} of the teacher's",
    ),
    BudgetKind(
        name="ratio_max",
        table="flops",
        limit_text="at most {:g} of the teacher's FLOPs",
    ),
)
