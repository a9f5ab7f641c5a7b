"""Budgets on figures of a model: its size, its memory, its operations, and those of measurements."""

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
    BudgetKind(
        name="value_max",
        table="measurements",
        limit_text="at most {:g}",
        title="value",
    ),
    BudgetKind(
        name="value_ratio_max",
        table="measurements",
        limit_text="at most {:g} of the teacher's",
        title="ratio",
    ),
)
