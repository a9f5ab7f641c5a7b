"""Budgets on perplexities in logs, whose drops are not in points although a limit for all metrics is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from slimgate.judge.budget_kinds import QualityBudget

PERPLEXITY = "perplexity"
_POINTS, _GROWTH = "drop_points", "increase_relative"


def as_growth(name: str, budgets: Sequence[QualityBudget], notes: list[str]) -> tuple[QualityBudget, ...]:
    """The budgets with drop_points as percent of growth; notes gets a line that says so."""
    for budget in budgets:
        if budget.kind == _POINTS:
            notes.append(
                f"{name}: a perplexity has no points, so {_POINTS} {budget.limit:g} is a growth of "
                f"{budget.limit:g} %: {_GROWTH} = {budget.limit / 100:g}"
            )
    return tuple(
        replace(budget, kind=_GROWTH, limit=budget.limit / 100) if budget.kind == _POINTS else budget
        for budget in budgets
    )
