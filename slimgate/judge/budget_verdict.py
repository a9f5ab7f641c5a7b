"""One budget, of whatever kind, and the evidence of the rows: its verdict."""

from __future__ import annotations

from math import ceil

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import Measured, QualityBudget
from slimgate.judge.contrast import (
    OWN_VALUE,
    Contrast,
    Interval,
    Paired,
    Relative,
    relative_to_errors,
    relative_to_value,
)
from slimgate.judge.decision import BudgetVerdict, Verdict, decided
from slimgate.judge.evidence import Evidence
from slimgate.judge.levels import ALPHA


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
    p_value = evidence.p_at_least(margin)
    verdict = decided(inside=p_value <= ALPHA, outside=evidence.above(margin))
    rows = evidence.needed(margin, drop) if verdict is Verdict.INCONCLUSIVE else None
    return BudgetVerdict(budget.kind, budget.limit, verdict, budget.reason, rows, p_value=p_value)


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
    excess, paired = relative.excess(budget.limit), _paired(evidence)
    p_value = paired.p_at_least(excess, 0.0)
    verdict = decided(inside=p_value <= ALPHA, outside=paired.p_at_most(excess, 0.0) <= ALPHA)
    rows = _rows(paired, excess, 0.0, evidence.n) if verdict is Verdict.INCONCLUSIVE else None
    fraction = _fraction(relative, before, after)
    interval = None if fraction is None else relative.interval(paired, fraction)
    return BudgetVerdict(budget.kind, budget.limit, verdict, budget.reason, rows, fraction, interval, p_value)


def _by_own_value(metric: Measured, budget: QualityBudget, after: float, evidence: Evidence) -> BudgetVerdict:
    paired, limit = _paired(evidence), budget.limit
    p_values = paired.p_at_most(OWN_VALUE, limit), paired.p_at_least(OWN_VALUE, limit)
    inside, outside = p_values if budget.kind == "floor" else p_values[::-1]
    verdict = decided(inside=inside <= ALPHA, outside=outside <= ALPHA)
    rows = _rows(paired, OWN_VALUE, limit, evidence.n) if verdict is Verdict.INCONCLUSIVE else None
    interval = _holding(after, paired.interval(OWN_VALUE), metric.value_range)
    return BudgetVerdict(budget.kind, limit, verdict, budget.reason, rows, after, interval, inside)


def _paired(evidence: Evidence) -> Paired:
    if evidence.paired is None:
        raise MeasureError("a metric without an interval cannot have a budget")
    return evidence.paired


def _rows(paired: Paired, contrast: Contrast, limit: float, n: int) -> int | None:
    copies = paired.copies_needed(contrast, limit)
    return None if copies is None else ceil(copies * n)


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
