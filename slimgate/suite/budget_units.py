"""Budgets that may be in another unit than was meant, such as drop_points = 0.02: two points may be meant.

judge/budget_tables.py refuses what cannot be meant. These are only asked about.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimgate.judge.budget_kinds import POINT_KINDS, QualityBudget
from slimgate.judge.budget_tables import SizeBudget
from slimgate.suite.suite import Suite

# Two rows in 10,000 and less: no gate split of a usual size decides it.
SMALL = 0.1
# The same as a share of the teacher's value.
SMALL_SHARE = 0.001
RELATIVE = ("drop_relative", "error_increase_relative", "increase_relative")


def doubtful_budgets(suite: Suite) -> list[str]:
    """A line for each such budget, once for all its variants."""
    found: dict[tuple[str, str, float, str], list[str]] = {}
    for name, own in suite.budgets.items():
        for metric, budgets in own.quality.items():
            for budget in budgets:
                for question in _ask_about_quality(budget):
                    found.setdefault((metric, budget.kind, budget.limit, question), []).append(name)
        for question in _ask_about_size(own.size):
            assert own.size is not None
            found.setdefault(("size", own.size.kind, own.size.limit, question), []).append(name)
    return [
        f"budget {of} {kind} {limit:g} ({', '.join(names)}): {question}"
        for (of, kind, limit, question), names in found.items()
    ]


def _ask_about_quality(budget: QualityBudget) -> Iterator[str]:
    """Nothing if the suite gives a reason."""
    kind, limit = budget.kind, budget.limit
    if kind in POINT_KINDS and limit < SMALL:
        yield ask_for_points(kind, limit)
    elif budget.reason is None and kind in RELATIVE and limit < SMALL_SHARE:
        yield f"it is a share, so {limit:g} is {100 * limit:g} %. Did you mean {kind} = {100 * limit:g}?"
    elif budget.reason is None and kind == "error_increase_relative" and limit >= 1:
        yield (
            f"it is a share, so {limit:g} allows {1 + limit:g} times the teacher's errors. "
            f"Did you mean {kind} = {limit / 100:g}?"
        )


def _ask_about_size(budget: SizeBudget | None) -> Iterator[str]:
    if budget is not None and budget.reason is None and budget.limit < 1:
        limit = budget.limit
        yield (
            "it is teacher bytes / variant bytes, so the variant may be larger than the teacher. "
            f"Did you mean {budget.kind} = {1 / limit:.3g}?"
        )


def ask_for_points(key: str, limit: float) -> str:
    """What to ask somebody who gave such a limit. key: where the limit came from."""
    meant = f"{key} {100 * limit:g}" if key.startswith("-") else f"{key} = {100 * limit:g}"
    return f"points are percentage points, so {limit:g} is {limit:g} %. Did you mean {meant}?"
