"""Judges a budget on a metric by the test that the question of its kind asks for (budgets/base.py).

The p-values come from the evidence of the rows. `decide` (decision.py) makes a verdict of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, isfinite

import numpy as np

from slimgate.budgets.base import MetricProperties
from slimgate.budgets.registry import is_in_points, is_two_sided_kind, list_metric_kinds
from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.contrast import (
    OWN_VALUE,
    Contrast,
    Interval,
    PairedValues,
    Relative,
    make_drop_contrast,
    make_ratio_excess,
    make_relative_to_errors,
    make_relative_to_value,
)
from slimgate.judge.decision import ALPHA, decide
from slimgate.judge.evidence import Evidence, make_contrast_evidence
from slimgate.judge.over_builds import OverBuilds
from slimgate.judge.over_runs import OverRuns
from slimgate.judge.rows_needed import count_rows, find_two_sided_stretch
from slimgate.results.base import BudgetFacts, Verdict

# How many steps a bound may lie beyond the 90 % interval, and how many bisections find it.
_MOST_STEPS = 30
_BISECTIONS = 12


def judge_budget(
    metric: MetricProperties, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    """Judges a budget that `check_budget` has let pass.

    before, after: the metric of teacher and variant. Raises MeasureError for a fraction of a negative value.
    """
    match list_metric_kinds()[budget.kind].question:
        case "drop":
            return _judge_by_drop(metric, budget, before, after, evidence)
        case "change":
            return _judge_by_equivalence(metric, budget, before, after, evidence)
        case "own value":
            return _judge_by_own_value(metric, budget, after, evidence)
        case "share of value" | "share of errors":
            return _judge_by_fraction(metric, budget, before, after, evidence)
        case "ratio":
            return _judge_by_ratio(metric, budget, before, after, evidence)


def judge_over_builds(
    metric: MetricProperties,
    budget: QualityBudget,
    before: float,
    after: float,
    evidence: Evidence,
    builds: OverBuilds | None,
) -> BudgetFacts:
    """Judges over all builds, with the same weight for each; over the rows alone if there is one build."""
    if builds is None:
        return replace(judge_budget(metric, budget, before, after, evidence), builds=1)
    over_builds_evidence = make_contrast_evidence(
        builds, n=evidence.n, method=evidence.method, higher_is_better=metric.higher_is_better
    )
    judged = judge_budget(metric, budget, before, float(builds.after.mean()), over_builds_evidence)
    contrast, limit = _make_contrast(metric, budget)
    if is_in_points(budget.kind):
        low, high = builds.compute_interval(contrast)
        judged = replace(judged, value=100 * builds.compute_value(contrast), interval=(100 * low, 100 * high))
    if judged.verdict is not Verdict.INCONCLUSIVE:
        return replace(judged, builds=builds.count)
    stretch = _find_stretch(budget, builds.compute_value(contrast), limit)
    if stretch is None:
        return replace(judged, builds=builds.count, n_needed=None)
    needed = builds.compute_needed(
        contrast, _choose_nearer_limit(budget, builds.compute_value(contrast), limit), stretch=stretch
    )
    return replace(
        judged,
        builds=builds.count,
        n_needed=needed.rows,
        builds_needed=needed.builds,
        needs_both=needed.needs_both,
    )


def _make_contrast(metric: MetricProperties, budget: QualityBudget) -> tuple[Contrast, float]:
    """The contrast that a budget limits, and its limit as a fraction of the metric's unit."""
    if is_in_points(budget.kind):
        return make_drop_contrast(higher_is_better=metric.higher_is_better), budget.limit / 100
    if list_metric_kinds()[budget.kind].question == "own value":
        return OWN_VALUE, budget.limit
    if list_metric_kinds()[budget.kind].question == "ratio":
        return make_ratio_excess(budget.limit, is_minimum=list_metric_kinds()[budget.kind].is_minimum), 0.0
    return _find_relative(metric, budget).make_excess_contrast(budget.limit), 0.0


def _judge_by_drop(
    metric: MetricProperties, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    margin = budget.limit / 100
    drop = before - after if metric.higher_is_better else after - before
    p_value, p_holds = evidence.p_at_least(margin), evidence.p_at_most(margin)
    return decide(budget, p_value, p_holds, find_rows=lambda: evidence.count_rows_needed(margin, drop))


def _judge_by_equivalence(
    metric: MetricProperties, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    """Judges by two one-sided tests: "the drop is at least the margin", "the gain is at least the margin".

    PASS needs both, so its p-value is the larger one (an intersection-union test). FAIL may come from either
    side, so its p-value is twice the smaller one.
    """
    margin = budget.limit / 100
    drop = before - after if metric.higher_is_better else after - before
    p_value = max(evidence.p_at_least(margin), evidence.p_at_most(-margin))
    p_holds = min(1.0, 2 * min(evidence.p_at_most(margin), evidence.p_at_least(-margin)))
    low, high = metric.value_range
    bounds = (
        None if evidence.interval is None else _compute_fail_interval(evidence, evidence.interval, high - low)
    )
    return decide(
        budget,
        p_value,
        p_holds,
        find_rows=lambda: _count_equivalence_rows(evidence, margin, drop),
        fail_interval=bounds and (100 * bounds[0], 100 * bounds[1]),
    )


def _count_equivalence_rows(evidence: Evidence, margin: float, drop: float) -> int | None:
    """The rows that decide both sides 80 % of the time, or the near side alone if the drop is outside."""
    stretch = find_two_sided_stretch(drop, margin)
    if stretch is None:
        return None
    near, far = (margin, -margin) if drop >= 0 else (-margin, margin)
    counts = [evidence.count_rows_needed(near, drop)]
    if abs(drop) < margin:
        counts.append(evidence.count_rows_needed(far, drop))
    rows = [count for count in counts if count is not None]
    return ceil(max(rows) * stretch**2) if len(rows) == len(counts) else None


def _find_stretch(budget: QualityBudget, value: float, limit: float) -> float | None:
    """The factor on the distance from the limit, compared with one test, to plan builds, runs and rows."""
    return find_two_sided_stretch(value, limit) if is_two_sided_kind(budget.kind) else 1.0


def _choose_nearer_limit(budget: QualityBudget, value: float, limit: float) -> float:
    """The limit of a two-sided budget that takes more builds, runs and rows; both have the same spread."""
    return -limit if is_two_sided_kind(budget.kind) and value < 0 else limit


def add_runs_needed(
    metric: MetricProperties, judged: BudgetFacts, budget: QualityBudget, runs: OverRuns
) -> BudgetFacts:
    """The runs that would decide an undecided budget, and the rows with as many runs."""
    if judged.verdict is not Verdict.INCONCLUSIVE:
        return judged
    contrast, limit = _make_contrast(metric, budget)
    value = runs.compute_value(contrast)
    stretch = _find_stretch(budget, value, limit)
    if stretch is None:
        return replace(judged, n_needed=None)
    needed = runs.compute_needed(contrast, _choose_nearer_limit(budget, value, limit), stretch=stretch)
    return replace(judged, n_needed=needed.rows, runs_needed=needed.runs, needs_both=needed.needs_both)


def _compute_fail_interval(evidence: Evidence, interval: Interval, span: float) -> Interval:
    """The drops that neither one-sided test at 2.5 % rejects. span: the largest change of the metric."""
    width = (interval[1] - interval[0]) or 1e-3
    low = _search_outer_bound(evidence.p_at_most, interval[0], -width / 8, -span)
    high = _search_outer_bound(evidence.p_at_least, interval[1], width / 8, span)
    return low, high


def _search_outer_bound(p_value: Callable[[float], float], bound: float, step: float, end: float) -> float:
    """The drop at which a p-value is half of 5 %; searched from the 5 % bound in growing steps, up to `end`.

    step: negative for a lower bound.
    """

    def is_beyond(at: float) -> bool:
        return p_value(at) <= ALPHA / 2

    clip = max if step < 0 else min
    end -= 1e-9 * (end if isfinite(end) else 0.0)
    near, far = bound, clip(bound + step, end)
    for _ in range(_MOST_STEPS):
        if is_beyond(far):
            break
        if far == end:
            return end
        step *= 2
        near, far = far, clip(far + step, end)
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        near, far = (near, middle) if is_beyond(middle) else (middle, far)
    return far


def _judge_by_fraction(
    metric: MetricProperties, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    if before < 0:
        raise MeasureError(
            f"{budget.kind} is a fraction of the teacher's {metric.name}, which is {before:.4g}: "
            "use drop_points, or a floor or ceiling"
        )
    relative = _find_relative(metric, budget)
    excess, paired = relative.make_excess_contrast(budget.limit), require_paired(evidence)
    p_value, p_holds = paired.p_at_least(excess, 0.0), paired.p_at_most(excess, 0.0)
    base = _compute_contrast(relative.base, before, after)
    fraction = _compute_contrast(relative.drop, before, after) / base if base > 0 else None
    interval = None if fraction is None else relative.compute_interval(paired, fraction)
    return decide(
        budget,
        p_value,
        p_holds,
        find_rows=lambda: _count_rows_needed(paired, excess, 0.0, evidence.n),
        value=fraction,
        interval=interval,
    )


def _judge_by_ratio(
    metric: MetricProperties, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    """variant / teacher, tested as a difference from the limit times the teacher's value."""
    check_ratio(metric, before)
    excess = make_ratio_excess(budget.limit, is_minimum=list_metric_kinds()[budget.kind].is_minimum)
    paired = require_paired(evidence)
    p_value, p_holds = paired.p_at_least(excess, 0.0), paired.p_at_most(excess, 0.0)
    growth = make_relative_to_value(higher_is_better=False).compute_interval(paired, after / before - 1)
    interval = growth and (1 + growth[0], 1 + growth[1])
    return decide(
        budget,
        p_value,
        p_holds,
        find_rows=lambda: _count_rows_needed(paired, excess, 0.0, evidence.n),
        value=after / before,
        interval=interval,
    )


def check_ratio(metric: MetricProperties, before: float) -> None:
    """Raises MeasureError if the teacher's value is 0, because nothing is a multiple of 0."""
    if before <= 0:
        raise MeasureError(
            f"{metric.name}: all answers of the teacher are empty, so a length ratio is not defined"
        )


def _find_relative(metric: MetricProperties, budget: QualityBudget) -> Relative:
    if list_metric_kinds()[budget.kind].question == "share of errors":
        return make_relative_to_errors()
    return make_relative_to_value(higher_is_better=metric.higher_is_better)


def _judge_by_own_value(
    metric: MetricProperties, budget: QualityBudget, after: float, evidence: Evidence
) -> BudgetFacts:
    paired, limit = require_paired(evidence), budget.limit
    p_values = paired.p_at_most(OWN_VALUE, limit), paired.p_at_least(OWN_VALUE, limit)
    inside, outside = p_values if list_metric_kinds()[budget.kind].is_minimum else p_values[::-1]
    (low, high), (lowest, highest) = paired.compute_interval(OWN_VALUE), metric.value_range
    # inside the metric's range, and widened if the pseudo-changes moved it off the value
    interval = max(lowest, min(low, after)), min(highest, max(high, after))
    return decide(
        budget,
        inside,
        outside,
        find_rows=lambda: _count_rows_needed(paired, OWN_VALUE, limit, evidence.n),
        value=after,
        interval=interval,
    )


def require_paired(evidence: Evidence) -> PairedValues:
    """The paired rows of the evidence. Raises MeasureError for a metric that is not resampled."""
    if evidence.paired is None:
        raise MeasureError("a metric without an interval cannot have a budget")
    return evidence.paired


def _count_rows_needed(paired: PairedValues, contrast: Contrast, limit: float, n: int) -> int | None:
    return count_rows(paired.compute_copies_needed(contrast, limit), n)


def _compute_contrast(contrast: Contrast, before: float, after: float) -> float:
    return float(contrast(np.asarray(before), np.asarray(after)))
