"""One budget, of whatever kind, and the evidence of the rows: its verdict."""

from __future__ import annotations

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import Measured, QualityBudget
from slimgate.judge.contrast import (
    OWN_VALUE,
    Contrast,
    Interval,
    Relative,
    relative_to_errors,
    relative_to_value,
)
from slimgate.judge.decision import BudgetVerdict, Verdict, decided
from slimgate.judge.evidence import Evidence
from slimgate.judge.proportion import share_rows
from slimgate.judge.rows_needed import needed_rows, rows_for_gap


def judge_budget(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetVerdict:
    """Judges a budget that `check_budget` has let pass.

    before, after: the metric of teacher and variant. Raises MeasureError for a fraction of a negative value.
    """
    if budget.kind == "drop_points":
        return _by_drop(metric, budget, before, after, evidence)
    if budget.kind in ("floor", "ceiling"):
        return _by_own_value(metric, budget, after, evidence)
    return _by_fraction(metric, budget, before, after, evidence)


def _by_drop(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetVerdict:
    margin = budget.limit / 100
    drop = before - after if metric.higher_is_better else after - before
    verdict = decided(inside=evidence.below(margin), outside=evidence.above(margin))
    rows = None
    if verdict is Verdict.INCONCLUSIVE:
        wider = evidence.widened(margin) if drop < margin else 1.0
        rows = needed_rows(margin, drop, variance=evidence.variance * wider)
    return BudgetVerdict(budget.kind, budget.limit, verdict, budget.reason, rows)


def _by_fraction(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetVerdict:
    if before < 0:
        raise MeasureError(
            f"{budget.kind} is a fraction of the teacher's {metric.name}, which is {before:.4g}: "
            "use drop_points, or a floor or ceiling"
        )
    errors = budget.kind == "error_increase_relative"
    relative = relative_to_errors() if errors else relative_to_value(higher_is_better=metric.higher_is_better)
    excess, paired = relative.excess(budget.limit), evidence.paired()
    low, high = paired.interval(excess)
    verdict = decided(inside=high < 0, outside=low > 0)
    rows = None
    if verdict is Verdict.INCONCLUSIVE:
        gap = _at(excess, before, after)
        rows = rows_for_gap(gap, variance=evidence.n * paired.standard_error(excess) ** 2)
    fraction = _fraction(relative, before, after)
    interval = None if fraction is None else relative.interval(paired, fraction)
    return BudgetVerdict(budget.kind, budget.limit, verdict, budget.reason, rows, fraction, interval)


def _by_own_value(metric: Measured, budget: QualityBudget, after: float, evidence: Evidence) -> BudgetVerdict:
    if evidence.share is None:
        paired = evidence.paired()
        low, high = _holding(after, paired.interval(OWN_VALUE), metric.value_range)
        rows = rows_for_gap(after - budget.limit, variance=evidence.n * paired.standard_error(OWN_VALUE) ** 2)
    else:
        share = evidence.share()
        low, high = share.interval
        rows = share_rows(after, budget.limit, design_effect=share.design_effect)
    at_least, under = low >= budget.limit, high < budget.limit
    at_most, over = high <= budget.limit, low > budget.limit
    inside, outside = (at_least, under) if budget.kind == "floor" else (at_most, over)
    verdict = decided(inside=inside, outside=outside)
    return BudgetVerdict(
        budget.kind,
        budget.limit,
        verdict,
        budget.reason,
        rows if verdict is Verdict.INCONCLUSIVE else None,
        after,
        (low, high),
    )


def _holding(value: float, interval: Interval, value_range: tuple[float, float]) -> Interval:
    """The interval inside the metric's range, and so wide that the pseudo-changes leave the value in it."""
    low, high = value_range
    return max(low, min(interval[0], value)), min(high, max(interval[1], value))


def _at(contrast: Contrast, before: float, after: float) -> float:
    return float(contrast(np.asarray(before), np.asarray(after)))


def _fraction(relative: Relative, before: float, after: float) -> float | None:
    """The measured drop as a fraction of its base; None where that is 0."""
    base = _at(relative.base, before, after)
    return _at(relative.drop, before, after) / base if base > 0 else None
