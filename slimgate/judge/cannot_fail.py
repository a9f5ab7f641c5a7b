"""Budgets that no variant can break: the base is closer to the worst value than the drop that they allow.

If the base has 1 % of the rows right, no variant can lose 2 points. A PASS would say nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING

from slimgate._system.number_text import format_points
from slimgate.budgets.base import MetricProperties
from slimgate.budgets.registry import list_metric_kinds
from slimgate.errors import list_names
from slimgate.judge.decision import withhold_budget_pass
from slimgate.judge.metrics.base import Metric
from slimgate.judge.verdict import QualityJudgement, find_most_rows
from slimgate.results.base import BudgetFacts, Verdict

if TYPE_CHECKING:
    from slimgate.judge.behaviour import BehaviourJudgement
    from slimgate.results.behaviour import SliceFacts

# Rounding of a mean; a limit that equals the distance cannot be exceeded either.
_ROUNDING = 1e-9
_MOST_NAMED = 3
# What the budgets that limit a drop, or a change to either side, decide about.
_CHANGE = "change"
_OF_CHANGES = ("drop", "share of value", "share of errors", _CHANGE)


def withhold_sure_passes(metric: MetricProperties, judged: QualityJudgement) -> QualityJudgement:
    """The judgement in which no budget passes that allows the base to fall to the metric's worst value.

    A two-sided budget gives no PASS if it also allows a rise to the best value. Budgets that do not limit a
    change, such as a floor, stay as they are, and so do those on metrics without such an end.
    """
    allowed = [
        100 * list_metric_kinds()[budget.kind].allowed_drop(budget.limit, judged.teacher)
        for budget in judged.budgets
    ]
    sure = [
        budget.verdict is not Verdict.FAIL
        and list_metric_kinds()[budget.kind].question in _OF_CHANGES
        and _is_within(points, judged.teacher, _find_farthest_value(metric, judged.teacher, budget))
        for budget, points in zip(judged.budgets, allowed, strict=True)
    ]
    if not any(sure):
        return judged
    budgets = tuple(
        withhold_budget_pass(budget) if is_sure else budget
        for budget, is_sure in zip(judged.budgets, sure, strict=True)
    )
    limit, at = max((points, at) for at, points in enumerate(allowed) if sure[at])
    widest = judged.budgets[at]
    farthest = _find_farthest_value(metric, judged.teacher, widest)
    distance = 100 * abs(judged.teacher - farthest)
    two_sided = list_metric_kinds()[widest.kind].question == _CHANGE
    end, can = ("the farthest value", "change by") if two_sided else ("the worst value", "lose")
    why = (
        f"from {judged.teacher:.3g} to {end} {farthest:g}, a model can {can} at most {distance:.3g} "
        f"points, and the budget allows {limit:.4g}: a budget that cannot fail shows nothing; choose "
        f"{'another metric' if distance <= _ROUNDING else 'a smaller limit or another metric'}"
    )
    return replace(
        judged,
        budgets=budgets,
        n_needed=find_most_rows(budgets),
        withheld=judged.withheld or why,
    )


def withhold_sure_flips(judged: BehaviourJudgement, right: float) -> BehaviourJudgement:
    """The judgement in which a budget on flips does not pass if all right rows of the base may be lost.

    right: the share of rows that the base has right.
    """
    # here, because judging scores does not need what this module imports
    from slimgate.judge.budget_tables import FlipsBudget

    sure = [
        budget
        for budget in judged.budgets
        if budget.kind == FlipsBudget.kind
        and budget.verdict is not Verdict.FAIL
        and budget.limit >= 100 * right - _ROUNDING
    ]
    if not sure:
        return judged
    why = (
        f"only {100 * right:.3g} % of the rows are right, so no more can turn wrong, and the budget allows "
        f"{sure[0].limit:g} %: a budget that cannot fail shows nothing; choose a smaller limit or another "
        "budget"
    )
    budgets = tuple(withhold_budget_pass(budget) if budget in sure else budget for budget in judged.budgets)
    return replace(judged, budgets=budgets, withheld={**judged.withheld, FlipsBudget.kind: why})


def withhold_sure_slices(metrics: Mapping[str, Metric], judged: BehaviourJudgement) -> BehaviourJudgement:
    """The judgement in which no slice passes whose base can fall to the worst value within the limit.

    metrics: by the names that slices have. A budget on every slice does not pass then either: such a slice is
    not shown to be inside.
    """
    # here, because judging scores does not need what these modules import
    from slimgate.judge.budget_tables import is_named_slice_kind
    from slimgate.judge.slices import select_budget_slices

    slices, budgets, withheld = judged.slices, list[BudgetFacts](), dict[str, str]()
    for budget in judged.budgets:
        sure = [
            part
            for part in select_budget_slices(slices, budget.kind)
            if _cannot_fail(metrics[part.metric], part.teacher, budget.limit)
        ]
        named = is_named_slice_kind(budget.kind)
        sure = [part for part in sure if (part.own_verdict if named else part.verdict) is not Verdict.FAIL]
        if not sure:
            budgets.append(budget)
            continue
        changes: dict[str, object] = {"own_verdict" if named else "verdict": Verdict.INCONCLUSIVE}
        changes["own_n_needed" if named else "n_needed"] = None
        slices = tuple(part.replace(**changes) if part in sure else part for part in slices)
        budgets.append(withhold_budget_pass(budget))
        if budgets[-1].verdict is not Verdict.FAIL:  # which another slice decides
            withheld[budget.kind] = _describe_sure(metrics, sure, budget.limit)
    withheld = {**judged.withheld, **withheld}
    return replace(judged, slices=slices, budgets=tuple(budgets), withheld=withheld)


def _cannot_fail(metric: MetricProperties, base: float, limit: float) -> bool:
    """Whether a fall from the base's value to the worst value is within a limit in points."""
    return _is_within(limit, base, _find_worst_value(metric))


def _is_within(limit: float, base: float, end: float) -> bool:
    """Whether the change from the base's value to an end of the range is within a limit in points."""
    return isfinite(end) and limit >= 100 * abs(base - end) - _ROUNDING


def _find_farthest_value(metric: MetricProperties, base: float, budget: BudgetFacts) -> float:
    """The worst value, or for a two-sided budget the end of the range that is farther from the base."""
    if list_metric_kinds()[budget.kind].question == _CHANGE:
        return max(metric.value_range, key=lambda end: abs(base - end))
    return _find_worst_value(metric)


def _describe_sure(metrics: Mapping[str, Metric], sure: Sequence[SliceFacts], limit: float) -> str:
    values = [f"{part.teacher:.3g} for {part.column} {part.value}" for part in sure]
    worst = _find_worst_value(metrics[sure[0].metric])
    return (
        f"from {list_names(values, _MOST_NAMED)} to the worst value {worst:g}, no model can lose more than "
        f"{format_points(limit)}: a budget that cannot fail shows nothing; choose a smaller limit"
    )


def _find_worst_value(metric: MetricProperties) -> float:
    low, high = metric.value_range
    return low if metric.higher_is_better else high
