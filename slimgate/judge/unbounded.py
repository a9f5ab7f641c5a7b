"""Judges metrics whose rows have no bound: by a cap and the share above it, or without a PASS.

A metric whose value_range is not finite is judged by `capped` if it is a mean over rows with a cap, its own
or the budget's. Otherwise no rows can show that a budget holds: the metric can fail, and cannot pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

import numpy as np

from slimgate.budgets.registry import list_metric_kinds
from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget, check_budget, compute_allowed_drop
from slimgate.judge.capped import CappedRows, check_derived_share, choose_cap, judge_with_share_above
from slimgate.judge.contrast import (
    OWN_VALUE,
    Contrast,
    make_drop_contrast,
    make_ratio_excess,
    make_relative_to_value,
)
from slimgate.judge.decision import choose_band, withhold_budget_pass
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.judge.metrics.base import Metric
from slimgate.judge.verdict import QualityJudgement, find_most_rows, withhold_pass
from slimgate.outcomes import Outcomes
from slimgate.results.base import BudgetFacts


def is_bounded(metric: Metric) -> bool:
    """Whether a row of the metric, or the metric of any rows, has a lowest and a highest value."""
    return all(isfinite(end) for end in metric.value_range)


def add_range_of_rows(metric: Metric, teacher: Outcomes, variant: Outcomes) -> Metric:
    """The length of answers with the range that its rows have: up to the most tokens of an answer.

    Other metrics stay as they are, because the ends of their rows may come from the scores in the sample,
    which are no bound.
    """
    if is_bounded(metric) or metric.row_mean is None or metric.unit != "percent":
        return metric
    ends = metric.row_mean.ends(teacher, variant)
    return replace(metric, value_range=ends) if all(map(isfinite, ends)) else metric


def add_cap(
    metric: Metric, teacher: Outcomes, variant: Outcomes, budgets: Sequence[QualityBudget], before: float
) -> Metric:
    """A metric without a bound, with one cap for all of its budgets; the metric itself if it has no cap.

    before: the teacher's value. The cap is the budgets', or the metric's own default. Raises SuiteError for a
    cap from which no share of the rows above it can be derived, for two caps, and for a cap that one of the
    budgets cannot have.
    """
    row_mean = metric.row_mean
    if row_mean is None:
        return metric
    stated = _find_cap(metric, budgets)
    usual = None if row_mean.cap is None else row_mean.cap(teacher, variant)
    if stated is None:
        if usual is None:
            return metric
        allowed = [_compute_allowed_loss(budget, before) for budget in budgets if budget.kind != "floor"]
        stated = choose_cap(usual, max(allowed, default=0.0))
    elif usual is not None and any(budget.above_cap_max is None for budget in budgets):
        check_derived_share(metric.name, stated, usual)
    cap = stated
    return replace(metric, row_mean=replace(row_mean, cap=lambda _teacher, _variant: cap))


def _find_cap(metric: Metric, budgets: Sequence[QualityBudget]) -> float | None:
    """The cap that budgets state; None if none does. Floors of a metric with a lowest value use no cap."""
    if isfinite(metric.value_range[0]):
        budgets = [budget for budget in budgets if budget.kind != "floor"]
    caps = sorted({budget.cap for budget in budgets if budget.cap is not None})
    if len(caps) > 1:
        raise SuiteError(
            f"budgets of {metric.name} have cap = {' and cap = '.join(f'{cap:g}' for cap in caps)}, expected "
            "one cap; give all of them the same"
        )
    for budget in budgets if caps else ():
        check_budget(metric, replace(budget, cap=caps[0]))
    return caps[0] if caps else None


def _compute_allowed_loss(budget: QualityBudget, before: float) -> float:
    """The largest mean loss that a budget allows; for a ceiling, the largest mean."""
    return budget.limit if budget.kind == "ceiling" else compute_allowed_drop(budget, before)


def judge_rows_above(
    metric: Metric,
    judged: QualityJudgement,
    pairs: Sequence[PairedMeans],
    budgets: Sequence[QualityBudget],
) -> QualityJudgement:
    """The judgement with the share of rows above the cap; without a cap, the judgement without a PASS.

    pairs: teacher and each build of the variant; only the first build if budgets are over rows.
    """
    if not pairs or pairs[0].cap is None:
        if not judged.budgets:
            return judged
        why = _explain_no_pass(metric)
        return replace(withhold_pass(judged, why), warnings=(*judged.warnings, why))
    drop = make_drop_contrast(higher_is_better=metric.higher_is_better)
    lost = _make_capped_rows(pairs[:1], drop)
    judged_budgets = tuple(
        _judge_budget(metric, budget, judged_budget, pairs if budget.over == "builds" else pairs[:1], judged)
        for budget, judged_budget in zip(budgets, judged.budgets, strict=True)
    )
    mean = 100 * lost.capped.mean
    return replace(
        judged,
        drop_points=mean,
        band=choose_band(mean),
        budgets=judged_budgets,
        n_needed=find_most_rows(judged_budgets),
    )


def _judge_budget(
    metric: Metric,
    budget: QualityBudget,
    judged_budget: BudgetFacts,
    pairs: Sequence[PairedMeans],
    judged: QualityJudgement,
) -> BudgetFacts:
    if budget.kind == "floor":
        # a row above the cap only helps a floor, and a floor is about the lowest scores
        return judged_budget if isfinite(metric.value_range[0]) else withhold_budget_pass(judged_budget)
    drop = make_drop_contrast(higher_is_better=metric.higher_is_better)
    before = judged.teacher
    contrast, limit, scale = drop, budget.limit / 100, 100.0
    if budget.kind == "ceiling":
        contrast, limit, scale, drop = OWN_VALUE, budget.limit, 1.0, OWN_VALUE
    elif list_metric_kinds()[budget.kind].question == "ratio":
        return _judge_ratio(budget, judged_budget, pairs, judged)
    elif budget.kind != "drop_points":
        relative = make_relative_to_value(higher_is_better=metric.higher_is_better)
        contrast, limit = relative.make_excess_contrast(budget.limit), 0.0
        scale = 1 / before if before > 0 else 0.0
    lost = _make_capped_rows(pairs, drop)
    facts = judge_with_share_above(
        judged_budget,
        _make_capped_rows(pairs, contrast),
        limit,
        allowed=_compute_allowed_loss(budget, before),
        above_max=budget.above_cap_max,
        uncapped=scale * lost.mean,
        lost=lost,
    )
    return facts if judged_budget.value is None else replace(facts, value=scale * lost.capped.mean)


def _judge_ratio(
    budget: QualityBudget, judged_budget: BudgetFacts, pairs: Sequence[PairedMeans], judged: QualityJudgement
) -> BudgetFacts:
    """A limit of variant / teacher; a row is lost if it is longer, or for a minimum if it is shorter."""
    is_minimum, before = list_metric_kinds()[budget.kind].is_minimum, judged.teacher
    sign = -1.0 if is_minimum else 1.0
    lost = _make_capped_rows(pairs, Contrast(-sign, sign))
    facts = judge_with_share_above(
        judged_budget,
        _make_capped_rows(pairs, make_ratio_excess(budget.limit, is_minimum=is_minimum)),
        0.0,
        allowed=compute_allowed_drop(budget, before),
        above_max=budget.above_cap_max,
        uncapped=1 + sign * lost.mean / before,
        lost=lost,
    )
    return replace(facts, value=1 + sign * lost.capped.mean / before)


def _make_capped_rows(pairs: Sequence[PairedMeans], contrast: Contrast) -> CappedRows:
    losses = np.stack([pair.compute_values(contrast) for pair in pairs])
    first = pairs[0]
    assert first.cap is not None
    return replace(first.make_capped_rows(contrast, first.cap), losses=losses)


def _explain_no_pass(metric: Metric) -> str:
    if metric.open_range:
        return metric.open_range
    low, high = metric.value_range
    unbounded = (
        f"{metric.name} has no bound (its value_range is {low:g} to {high:g}), so no rows show that it holds"
    )
    if metric.row_mean is None:
        return (
            f"{unbounded}; it passes as a mean over rows (row_mean) with a cap, or with a finite value_range"
        )
    return f"{unbounded}; add cap = … to its budget, the most that a single row counts for"
