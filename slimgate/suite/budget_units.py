"""Finds budgets whose unit may be wrong, such as drop_points = 0.02 where 2 points are probably meant.

judge/budget_tables.py refuses limits that make no sense. This module only asks about unlikely ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from slimgate.budgets.registry import is_in_points

if TYPE_CHECKING:
    from slimgate.judge.budget_tables import Budget, LimitBudget
    from slimgate.judge.decision import StatedBudget
    from slimgate.judge.latency_budgets import SpeedBudget
    from slimgate.suite.suite import Suite
    from slimgate.suite.variant_budgets import VariantBudgets

# A smaller drop in points is doubtful: no gate split of a usual size can decide a tenth of a point.
SMALL_POINTS = 0.1
# The same as a share of the teacher's value.
SMALL_SHARE = 0.001
# A smaller speed-up is doubtful: the target may take more than twice the time.
SLOW_SPEEDUP = 0.5
# A larger ratio is doubtful: 80 times the teacher's value is less likely meant than 80 %.
LARGE_RATIO = 5.0
_RATIO_OF_LENGTHS = "length_ratio_max"
RELATIVE = ("drop_relative", "error_increase_relative", "increase_relative")


def find_doubtful_budgets(suite: Suite) -> list[str]:
    """One line for each doubtful budget on a metric, a slice, a speed, a size or a ratio.

    The line names all models that have this budget.
    """
    from slimgate.results.checks import TEACHER  # not above: `judge` of two logs needs no pydantic

    names_by_doubt: dict[_Doubt, list[str]] = {}
    for name, budgets in {TEACHER: suite.teacher_budgets, **suite.budgets}.items():
        for doubt in _list_doubts(budgets):
            names_by_doubt.setdefault(doubt, []).append(name)
    return [
        f"budget {doubt.quantity} {doubt.kind} {doubt.limit:g} ({', '.join(names)}): {doubt.question}"
        for doubt, names in names_by_doubt.items()
    ]


class _Doubt(NamedTuple):
    """A question about a budget. quantity: what the budget limits, as the line names it."""

    quantity: str
    kind: str
    limit: float
    question: str


def _list_doubts(budgets: VariantBudgets) -> Iterator[_Doubt]:
    """The doubts about the budgets of one model."""
    for quantity, original, budget in _list_metric_budgets(budgets):
        for question in ask_about_quality(budget, original):
            yield _Doubt(quantity, budget.kind, budget.limit, question)
    for speed in budgets.on_times:
        for question in ask_about_speed(speed):
            yield _Doubt("latency", speed.kind, speed.limit, question)
    size = budgets.size
    if size is not None and size.reason is None and size.limit < 1:
        question = (
            "it is teacher bytes / variant bytes, so the variant may be larger than the teacher. "
            f"Did you mean {size.kind} = {1 / size.limit:.3g}?"
        )
        yield _Doubt("size", size.kind, size.limit, question)
    for table, ratio in _list_ratios(budgets):
        for question in _ask_about_ratio(ratio):
            yield _Doubt(table, ratio.kind, ratio.limit, question)


def _list_metric_budgets(budgets: VariantBudgets) -> Iterator[tuple[str, str, StatedBudget]]:
    """(quantity, original, budget) of each budget on a metric or on slices.

    original: the model whose value the variant may lose a part of, the teacher or the baseline.
    """
    from slimgate.judge.budget_tables import make_slices_kind
    from slimgate.results.checks import BASELINE, TEACHER

    for metric, quality_budgets in budgets.quality.items():
        yield from ((metric, TEACHER, budget) for budget in quality_budgets)
    for metric, baseline_budgets in budgets.baseline.items():
        yield from ((f"{BASELINE} {metric}", BASELINE, budget) for budget in baseline_budgets)
    for metric, slices in budgets.behaviour.slices.items():
        yield make_slices_kind(metric), TEACHER, slices
    for named, slices in budgets.behaviour.named_slices.items():
        yield make_slices_kind(named.metric, named.column, named.value), TEACHER, slices


def ask_about_quality(budget: StatedBudget, original: str = "teacher") -> Iterator[str]:
    """The questions about one quality budget; a small share with a reason is not questioned.

    original: what the loss is measured against, the teacher or the baseline.
    """
    kind, limit = budget.kind, budget.limit
    if is_in_points(kind) and limit < SMALL_POINTS:
        yield format_points_question(kind, limit)
    elif budget.reason is None and kind in RELATIVE and limit < SMALL_SHARE:
        yield f"it is a share, so {limit:g} is {100 * limit:g} %. Did you mean {kind} = {100 * limit:g}?"
    elif budget.reason is None and kind == "error_increase_relative" and limit >= 1:
        yield (
            f"it is a share, so {limit:g} allows {1 + limit:g} times the {original}'s errors. "
            f"Did you mean {kind} = {limit / 100:g}?"
        )
    elif kind == _RATIO_OF_LENGTHS:
        yield from _ask_about_ratio(budget)


def _list_ratios(budgets: VariantBudgets) -> Iterator[tuple[str, Budget | LimitBudget]]:
    """The budgets on variant / teacher, each with the name of its table."""
    from slimgate.judge.budget_tables import VALUE_RATIO  # not above: `judge` of two logs needs no pydantic

    if budgets.memory is not None:
        yield "memory", budgets.memory
    if budgets.flops is not None:
        yield "flops", budgets.flops
    for name, limits in budgets.measurements.items():
        yield from ((f"measurements.{name}", limit) for limit in limits if limit.kind == VALUE_RATIO)


def _ask_about_ratio(budget: StatedBudget) -> Iterator[str]:
    """The question about a large ratio; one with a reason is not questioned."""
    kind, limit = budget.kind, budget.limit
    if budget.reason is None and limit >= LARGE_RATIO:
        yield (
            f"it is variant / teacher, so {limit:g} allows {limit:g} times the teacher's value. "
            f"Did you mean {kind} = {limit / 100:g}?"
        )


def ask_about_speed(budget: SpeedBudget | LimitBudget) -> Iterator[str]:
    """The question about a speed-up that allows much slower answers; one with a reason is not questioned."""
    kind, limit = budget.kind, budget.limit
    if kind.endswith("speedup_min") and limit < SLOW_SPEEDUP and budget.reason is None:
        yield (
            f"it is base time / target time, so {limit:g} allows {1 / limit:.3g} times the time. "
            f"Did you mean {kind} = {1 + limit:g}?"
        )


def format_points_question(key: str, limit: float) -> str:
    """The question about a limit in points that looks like a share. key: the option or key that has it."""
    meant = f"{key} {100 * limit:g}" if key.startswith("-") else f"{key} = {100 * limit:g}"
    return f"points are percentage points, so {limit:g} is {limit:g} %. Did you mean {meant}?"
