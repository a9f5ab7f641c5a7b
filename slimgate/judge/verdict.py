"""Budgets in, verdicts out: do the gate rows show that a drop is inside its budget, or that it is not?

One budget, of whatever kind, and the evidence of the rows: its verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, isfinite

import numpy as np

from slimgate.budgets.base import Measured, Unit
from slimgate.budgets.registry import metric_kinds
from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import (
    BudgetKind,
    QualityBudget,
    check_budget,
    is_in_points,
    is_two_sided_kind,
)
from slimgate.judge.contrast import (
    OWN_VALUE,
    Contrast,
    Interval,
    Paired,
    Relative,
    drop_contrast,
    ratio_excess,
    relative_to_errors,
    relative_to_value,
)
from slimgate.judge.decision import ALPHA, LEVEL, band, to_verdict
from slimgate.judge.evidence import Changed, Evidence, by_contrast
from slimgate.judge.over_builds import OverBuilds
from slimgate.judge.over_runs import OverRuns
from slimgate.judge.rows_needed import two_sided_stretch
from slimgate.results.base import BudgetFacts, Verdict, worst_verdict

__all__ = [
    "BudgetFacts",
    "BudgetKind",
    "QualityBudget",
    "QualityJudgement",
    "Verdict",
    "check_budget",
    "judgement_of",
    "most_rows",
    "worst_verdict",
]


# Of a bound beyond the 90 % interval: how many steps it may be away, and how finely it is found.
_MOST_STEPS = 30
_BISECTIONS = 12


@dataclass(frozen=True)
class QualityJudgement:
    """One metric of one variant beside its teacher.

    teacher, value: in the metric's own unit. drop_points, interval: 100 times that unit (percentage points;
    for log loss hundredths of a nat), positive where the variant is worse; where `unit` is "percent", by how
    many percent of the teacher's the value has grown. interval: None for a metric that
    is not resampled. verdict: None without a budget.
    variance: n times the squared standard error of the drop; None where it is not known.
    design_effect, changed: only where the method is Tango's.
    p_at_least(drop_points): the p-value of a true drop of at least so much; None where it is not known.
    family: why a budget that holds alone is no PASS beside the others; None where that is not so.
    withheld: why no budget passes whatever the interval is, such as a label without rows; else None.
    strays: rows whose prediction is no label of the task, of teacher and variant; None where neither has any.
    runs: how many runs of teacher and variant were judged; None of one of each.
    """

    metric: str
    teacher: float
    value: float
    drop_points: float
    interval: tuple[float, float] | None
    level: float
    method: str
    n: int
    n_needed: int | None
    budgets: tuple[BudgetFacts, ...]
    verdict: Verdict | None
    band: str
    groups: int | None
    design_effect: float | None
    changed: Changed | None
    variance: float | None
    warnings: tuple[str, ...]
    unit: Unit = "points"
    p_at_least: Callable[[float], float] | None = field(default=None, compare=False, repr=False)
    family: str | None = None
    withheld: str | None = None
    strays: tuple[int, int] | None = None
    runs: tuple[int, int] | None = None


def judgement_of(
    measured: Measured,
    before: float,
    after: float,
    evidence: Evidence,
    budgets: Sequence[QualityBudget],
    *,
    warnings: tuple[str, ...] = (),
    builds: OverBuilds | None = None,
    runs: OverRuns | None = None,
) -> QualityJudgement:
    """The judgement of two values and what the rows tell of them, by budgets that `check_budget` let pass.

    builds: what budgets over builds are judged by; None where the variant has one build. runs: what the
    evidence is of, where runs of both were judged.
    """
    drop = before - after if measured.higher_is_better else after - before
    judged = tuple(
        judge_budget(measured, budget, before, after, evidence)
        if budget.over == "rows"
        else _over_builds(measured, budget, before, after, evidence, builds)
        for budget in budgets
    )
    if runs is not None:
        judged = tuple(_with_runs_needed(measured, *pair, runs) for pair in zip(judged, budgets, strict=True))
    return QualityJudgement(
        metric=measured.name,
        teacher=before,
        value=after,
        drop_points=100 * drop,
        interval=evidence.interval and (100 * evidence.interval[0], 100 * evidence.interval[1]),
        level=LEVEL,
        method=evidence.method,
        n=evidence.n,
        n_needed=most_rows(judged),
        budgets=judged,
        verdict=worst_verdict([budget.verdict for budget in judged]),
        band=band(100 * drop),
        groups=evidence.groups,
        design_effect=evidence.design_effect,
        changed=evidence.changed,
        variance=evidence.variance if evidence.interval else None,
        warnings=warnings,
        p_at_least=lambda points: evidence.p_at_least(points / 100),
        runs=None if runs is None else (runs.base.runs, runs.target.runs),
    )


def withhold_pass(judged: QualityJudgement, why: str) -> QualityJudgement:
    """The judgement in which no budget passes, since no number of rows like these would show that it holds.

    why: as the end of its line.
    """
    budgets = tuple(map(withhold_budget, judged.budgets))
    verdict = worst_verdict([budget.verdict for budget in budgets])
    return replace(judged, budgets=budgets, verdict=verdict, n_needed=None, withheld=why)


def withhold_budget(verdict: BudgetFacts) -> BudgetFacts:
    """The verdict if it is FAIL, else INCONCLUSIVE without rows that would decide it."""
    if verdict.verdict is Verdict.FAIL:
        return verdict
    return replace(
        verdict,
        verdict=Verdict.INCONCLUSIVE,
        n_needed=None,
        builds_needed=None,
        runs_needed=None,
        p_value=1.0,
    )


def most_rows(judged: Sequence[BudgetFacts]) -> int | None:
    """The rows that would decide every undecided budget; None where one can never be, or all are decided."""
    undecided = [budget for budget in judged if budget.verdict is Verdict.INCONCLUSIVE]
    rows = [None if budget.needs_both else budget.n_needed for budget in undecided]
    known = [count for count in rows if count is not None]
    return max(known, default=None) if len(known) == len(rows) else None


def judge_budget(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    """Judges a budget that `check_budget` has let pass.

    before, after: the metric of teacher and variant. Raises MeasureError for a fraction of a negative value.
    """
    match metric_kinds()[budget.kind].question:
        case "drop":
            return _by_drop(metric, budget, before, after, evidence)
        case "change":
            return _by_equivalence(metric, budget, before, after, evidence)
        case "own value":
            return _by_own_value(metric, budget, after, evidence)
        case "share of value" | "share of errors":
            return _by_fraction(metric, budget, before, after, evidence)
        case "ratio":
            return _by_ratio(metric, budget, before, after, evidence)


def _over_builds(
    metric: Measured,
    budget: QualityBudget,
    before: float,
    after: float,
    evidence: Evidence,
    builds: OverBuilds | None,
) -> BudgetFacts:
    """By all builds, each of which counts the same; over the rows alone where there is one build."""
    if builds is None:
        return replace(judge_budget(metric, budget, before, after, evidence), builds=1)
    over_builds_evidence = by_contrast(
        builds, n=evidence.n, method=evidence.method, higher_is_better=metric.higher_is_better
    )
    judged = judge_budget(metric, budget, before, float(builds.after.mean()), over_builds_evidence)
    contrast, limit = _contrast_of(metric, budget)
    if is_in_points(budget.kind):
        low, high = builds.interval(contrast)
        judged = replace(judged, value=100 * builds.value(contrast), interval=(100 * low, 100 * high))
    if judged.verdict is not Verdict.INCONCLUSIVE:
        return replace(judged, builds=builds.count)
    stretch = _stretch_of(budget, builds.value(contrast), limit)
    if stretch is None:
        return replace(judged, builds=builds.count, n_needed=None)
    needed = builds.needed(contrast, _nearer_limit(budget, builds.value(contrast), limit), stretch=stretch)
    return replace(
        judged,
        builds=builds.count,
        n_needed=needed.rows,
        builds_needed=needed.builds,
        needs_both=needed.needs_both,
    )


def _contrast_of(metric: Measured, budget: QualityBudget) -> tuple[Contrast, float]:
    """What a budget limits, and its limit as a fraction of the metric's unit."""
    if is_in_points(budget.kind):
        return drop_contrast(higher_is_better=metric.higher_is_better), budget.limit / 100
    if metric_kinds()[budget.kind].question == "own value":
        return OWN_VALUE, budget.limit
    if metric_kinds()[budget.kind].question == "ratio":
        return ratio_excess(budget.limit, least=metric_kinds()[budget.kind].least), 0.0
    return _relative(metric, budget).excess(budget.limit), 0.0


def _by_drop(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    margin = budget.limit / 100
    drop = before - after if metric.higher_is_better else after - before
    p_value, p_holds = evidence.p_at_least(margin), evidence.p_at_most(margin)
    verdict = to_verdict(inside=p_value <= ALPHA, outside=p_holds <= ALPHA)
    rows = evidence.needed(margin, drop) if verdict is Verdict.INCONCLUSIVE else None
    return BudgetFacts(
        kind=budget.kind,
        limit=budget.limit,
        verdict=verdict,
        reason=budget.reason,
        n_needed=rows,
        p_value=p_value,
        p_holds=p_holds,
    )


def _by_equivalence(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    """PASS by both one-sided tests, of "the drop is at least the margin" and of "the gain is".

    The larger p-value is that of both (an intersection-union test). FAIL may come from either side, so the
    smaller p-value is doubled.
    """
    margin = budget.limit / 100
    drop = before - after if metric.higher_is_better else after - before
    p_value = max(evidence.p_at_least(margin), evidence.p_at_most(-margin))
    p_holds = min(1.0, 2 * min(evidence.p_at_most(margin), evidence.p_at_least(-margin)))
    verdict = to_verdict(inside=p_value <= ALPHA, outside=p_holds <= ALPHA)
    low, high = metric.value_range
    bounds = None if evidence.interval is None else _fail_interval(evidence, evidence.interval, high - low)
    return BudgetFacts(
        kind=budget.kind,
        limit=budget.limit,
        verdict=verdict,
        reason=budget.reason,
        n_needed=_equivalence_rows(evidence, margin, drop) if verdict is Verdict.INCONCLUSIVE else None,
        p_value=p_value,
        p_holds=p_holds,
        fail_interval=bounds and (100 * bounds[0], 100 * bounds[1]),
    )


def _equivalence_rows(evidence: Evidence, margin: float, drop: float) -> int | None:
    """The rows that decide both sides 80 % of the time, or the near side alone where the drop is outside."""
    stretch = two_sided_stretch(drop, margin)
    if stretch is None:
        return None
    near, far = (margin, -margin) if drop >= 0 else (-margin, margin)
    counts = [evidence.needed(near, drop)]
    if abs(drop) < margin:
        counts.append(evidence.needed(far, drop))
    rows = [count for count in counts if count is not None]
    return ceil(max(rows) * stretch**2) if len(rows) == len(counts) else None


def _stretch_of(budget: QualityBudget, value: float, limit: float) -> float | None:
    """Of builds or runs, and rows: how much further from its limit a value must be than of one test."""
    return two_sided_stretch(value, limit) if is_two_sided_kind(budget.kind) else 1.0


def _nearer_limit(budget: QualityBudget, value: float, limit: float) -> float:
    """Of a budget on both sides the limit that takes more builds, runs and rows: their spreads are one."""
    return -limit if is_two_sided_kind(budget.kind) and value < 0 else limit


def _with_runs_needed(
    metric: Measured, judged: BudgetFacts, budget: QualityBudget, runs: OverRuns
) -> BudgetFacts:
    """The runs that would decide an undecided budget, and the rows with as many runs."""
    if judged.verdict is not Verdict.INCONCLUSIVE:
        return judged
    contrast, limit = _contrast_of(metric, budget)
    value = runs.value(contrast)
    stretch = _stretch_of(budget, value, limit)
    if stretch is None:
        return replace(judged, n_needed=None)
    needed = runs.needed(contrast, _nearer_limit(budget, value, limit), stretch=stretch)
    return replace(judged, n_needed=needed.rows, runs_needed=needed.runs, needs_both=needed.needs_both)


def _fail_interval(evidence: Evidence, interval: Interval, span: float) -> Interval:
    """The drops that neither one-sided test at 2.5 % rejects. span: the largest change of the metric."""
    width = (interval[1] - interval[0]) or 1e-3
    low = _bound_beyond(evidence.p_at_most, interval[0], -width / 8, -span)
    high = _bound_beyond(evidence.p_at_least, interval[1], width / 8, span)
    return low, high


def _bound_beyond(p_value: Callable[[float], float], bound: float, step: float, end: float) -> float:
    """Where a p-value is half of 5 %, from the 5 % bound on by growing steps; at most `end`.

    step: negative where the bound is a lower one.
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


def _by_fraction(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    if before < 0:
        raise MeasureError(
            f"{budget.kind} is a fraction of the teacher's {metric.name}, which is {before:.4g}: "
            "use drop_points, or a floor or ceiling"
        )
    relative = _relative(metric, budget)
    excess, paired = relative.excess(budget.limit), _require_paired(evidence)
    p_value, p_holds = paired.p_at_least(excess, 0.0), paired.p_at_most(excess, 0.0)
    verdict = to_verdict(inside=p_value <= ALPHA, outside=p_holds <= ALPHA)
    rows = _rows(paired, excess, 0.0, evidence.n) if verdict is Verdict.INCONCLUSIVE else None
    base = _at(relative.base, before, after)
    fraction = _at(relative.drop, before, after) / base if base > 0 else None
    interval = None if fraction is None else relative.interval(paired, fraction)
    return BudgetFacts(
        kind=budget.kind,
        limit=budget.limit,
        verdict=verdict,
        reason=budget.reason,
        n_needed=rows,
        value=fraction,
        interval=interval,
        p_value=p_value,
        p_holds=p_holds,
    )


def _by_ratio(
    metric: Measured, budget: QualityBudget, before: float, after: float, evidence: Evidence
) -> BudgetFacts:
    """variant / teacher, tested as a difference from the limit times the teacher's value."""
    check_ratio(metric, before)
    excess = ratio_excess(budget.limit, least=metric_kinds()[budget.kind].least)
    paired = _require_paired(evidence)
    p_value, p_holds = paired.p_at_least(excess, 0.0), paired.p_at_most(excess, 0.0)
    verdict = to_verdict(inside=p_value <= ALPHA, outside=p_holds <= ALPHA)
    rows = _rows(paired, excess, 0.0, evidence.n) if verdict is Verdict.INCONCLUSIVE else None
    growth = relative_to_value(higher_is_better=False).interval(paired, after / before - 1)
    interval = growth and (1 + growth[0], 1 + growth[1])
    return BudgetFacts(
        kind=budget.kind,
        limit=budget.limit,
        verdict=verdict,
        reason=budget.reason,
        n_needed=rows,
        value=after / before,
        interval=interval,
        p_value=p_value,
        p_holds=p_holds,
    )


def check_ratio(metric: Measured, before: float) -> None:
    """Raises MeasureError where the teacher's value is 0, of which nothing is a multiple."""
    if before <= 0:
        raise MeasureError(
            f"{metric.name}: all answers of the teacher are empty, so that no length is a multiple of theirs"
        )


def as_growth(measured: Measured, judged: QualityJudgement, evidence: Evidence) -> QualityJudgement:
    """The judgement of a metric that is compared as a multiple: drop and interval as percent of growth."""
    check_ratio(measured, judged.teacher)
    relative, paired = relative_to_value(higher_is_better=False), _require_paired(evidence)
    growth = judged.value / judged.teacher - 1
    of_ratio = [budget for budget in judged.budgets if metric_kinds()[budget.kind].question == "ratio"]
    if of_ratio and of_ratio[0].builds is None:  # its interval, less 1
        bounds = of_ratio[0].interval
        interval = bounds and (bounds[0] - 1, bounds[1] - 1)
    else:
        interval = relative.interval(paired, growth)
    return replace(
        judged,
        drop_points=100 * growth,
        interval=interval and (100 * interval[0], 100 * interval[1]),
        band=band(100 * growth),
        unit=measured.unit,
        variance=None,
        p_at_least=lambda percent: paired.p_at_least(relative.excess(percent / 100), 0.0),
    )


def _relative(metric: Measured, budget: QualityBudget) -> Relative:
    if metric_kinds()[budget.kind].question == "share of errors":
        return relative_to_errors()
    return relative_to_value(higher_is_better=metric.higher_is_better)


def _by_own_value(metric: Measured, budget: QualityBudget, after: float, evidence: Evidence) -> BudgetFacts:
    paired, limit = _require_paired(evidence), budget.limit
    p_values = paired.p_at_most(OWN_VALUE, limit), paired.p_at_least(OWN_VALUE, limit)
    inside, outside = p_values if metric_kinds()[budget.kind].least else p_values[::-1]
    verdict = to_verdict(inside=inside <= ALPHA, outside=outside <= ALPHA)
    rows = _rows(paired, OWN_VALUE, limit, evidence.n) if verdict is Verdict.INCONCLUSIVE else None
    interval = _holding(after, paired.interval(OWN_VALUE), metric.value_range)
    return BudgetFacts(
        kind=budget.kind,
        limit=limit,
        verdict=verdict,
        reason=budget.reason,
        n_needed=rows,
        value=after,
        interval=interval,
        p_value=inside,
        p_holds=outside,
    )


def _require_paired(evidence: Evidence) -> Paired:
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
