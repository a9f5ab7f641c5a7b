"""Budgets that no variant can break: the base is closer to the worst value than the drop that they allow.

If the base has 1 % of the rows right, no variant can lose 2 points. A PASS would say nothing about it.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

from slimgate.budgets.base import Measured
from slimgate.budgets.registry import metric_kinds
from slimgate.judge.verdict import QualityJudgement, most_rows, withhold_budget
from slimgate.results.base import Verdict, worst_verdict

# Rounding of a mean; a limit that equals the distance cannot be exceeded either.
_ROUNDING = 1e-9


def withhold_sure_passes(metric: Measured, judged: QualityJudgement) -> QualityJudgement:
    """The judgement in which no budget in points passes that allows the base to fall to the worst value.

    Only for metrics with a worst value, and for budgets that limit only the drop: a gain can break the
    others.
    """
    low, high = metric.value_range
    worst = low if metric.higher_is_better else high
    if not isfinite(worst):
        return judged
    distance = 100 * abs(judged.teacher - worst)
    sure = [
        budget.verdict is not Verdict.FAIL
        and metric_kinds()[budget.kind].question == "drop"
        and budget.limit >= distance - _ROUNDING
        for budget in judged.budgets
    ]
    if not any(sure):
        return judged
    budgets = tuple(
        withhold_budget(budget) if is_sure else budget
        for budget, is_sure in zip(judged.budgets, sure, strict=True)
    )
    limit = max(budget.limit for budget, is_sure in zip(judged.budgets, sure, strict=True) if is_sure)
    why = (
        f"the base is {judged.teacher:.3g} and the worst value is {worst:g}, so a model can lose at most "
        f"{distance:.3g} points, and the budget allows {limit:g}: a budget that cannot fail shows nothing; "
        "choose "
        f"{'another metric' if distance <= _ROUNDING else 'a smaller limit or another metric'}"
    )
    return replace(
        judged,
        budgets=budgets,
        verdict=worst_verdict([budget.verdict for budget in budgets]),
        n_needed=most_rows(budgets),
        withheld=judged.withheld or why,
    )
