"""Budgets in, verdicts out: do the gate rows show that a drop is inside its budget, or that it is not?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.bands import band
from slimgate.judge.budget_kinds import NOT_RESAMPLED, BudgetKind, Measured, QualityBudget, check_budget
from slimgate.judge.budget_verdict import judge_budget
from slimgate.judge.decision import BudgetVerdict, Verdict, combined
from slimgate.judge.evidence import Changed, Evidence, gather
from slimgate.judge.levels import LEVEL
from slimgate.metrics.base import Metric, value_of
from slimgate.outcomes import Outcomes

# Under these a class, or the number of groups, is too small for an interval to be taken at its word.
_FEW_ROWS = 50
_FEW_GROUPS = 30

__all__ = [
    "NOT_RESAMPLED",
    "BudgetKind",
    "BudgetVerdict",
    "QualityBudget",
    "QualityJudgement",
    "Verdict",
    "check_budget",
    "combined",
    "judge_quality",
    "judgement_of",
    "most_rows",
]


@dataclass(frozen=True)
class QualityJudgement:
    """One metric of one variant beside its teacher.

    teacher, value: in the metric's own unit. drop_points, interval: 100 times that unit (percentage points;
    for log loss hundredths of a nat), positive where the variant is worse. interval: None for a metric that
    is not resampled. verdict: None without a budget.
    variance: n times the squared standard error of the drop; None where it is not known.
    design_effect, changed: only where the method is Tango's.
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
    budgets: tuple[BudgetVerdict, ...]
    verdict: Verdict | None
    band: str
    groups: int | None
    design_effect: float | None
    changed: Changed | None
    variance: float | None
    warnings: tuple[str, ...]


def judge_quality(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    budgets: Sequence[QualityBudget],
    *,
    seed: int = 0,
    resamples: int | None = None,
) -> QualityJudgement:
    """Judges one metric against its budgets, all of which must hold.

    seed, resamples: of the bootstrap, where there is one (default as in `paired_resamples`).
    Raises MeasureError where the metric is not defined on the rows, SuiteError for a budget it cannot judge.
    """
    for budget in budgets:
        check_budget(metric, budget)
    evidence = gather(metric, teacher, variant, seed=seed, resamples=resamples)
    before, after = _value(metric, teacher), _value(metric, variant)
    return judgement_of(
        metric, before, after, evidence, budgets, warnings=_warnings(metric, teacher, evidence)
    )


def judgement_of(
    measured: Measured,
    before: float,
    after: float,
    evidence: Evidence,
    budgets: Sequence[QualityBudget],
    *,
    warnings: tuple[str, ...] = (),
) -> QualityJudgement:
    """The judgement of two values and what the rows tell of them, by budgets that `check_budget` let pass."""
    drop = before - after if measured.higher_is_better else after - before
    judged = tuple(judge_budget(measured, budget, before, after, evidence) for budget in budgets)
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
        verdict=combined([one.verdict for one in judged]),
        band=band(100 * drop),
        groups=evidence.groups,
        design_effect=evidence.design_effect,
        changed=evidence.changed,
        variance=evidence.variance if evidence.interval else None,
        warnings=warnings,
    )


def most_rows(judged: Sequence[BudgetVerdict]) -> int | None:
    """The rows that would decide every undecided budget; None where one can never be, or all are decided."""
    rows = [one.n_needed for one in judged if one.verdict is Verdict.INCONCLUSIVE]
    known = [one for one in rows if one is not None]
    return max(known, default=None) if len(known) == len(rows) else None


def _value(metric: Metric, outcomes: Outcomes) -> float:
    value = value_of(metric, outcomes)
    if not isfinite(value):
        raise MeasureError(f"{metric.name} is {value}: nothing can be judged from it")
    return value


def _warnings(metric: Metric, teacher: Outcomes, evidence: Evidence) -> tuple[str, ...]:
    found = []
    if metric.per_row is None:
        found += _small_classes(teacher)
    if evidence.groups is not None and evidence.groups < _FEW_GROUPS:
        found.append(f"the gate rows come in {evidence.groups} groups, under {_FEW_GROUPS}")
    return tuple(found)


def _small_classes(teacher: Outcomes) -> list[str]:
    sizes = np.bincount(teacher.labels, minlength=len(teacher.classes))
    small = np.flatnonzero((sizes > 0) & (sizes < _FEW_ROWS))
    if not len(small):
        return []
    smallest = small[sizes[small].argmin()]
    name, rows = teacher.classes[smallest], sizes[smallest]
    if len(small) == 1:
        return [f"class {name} has {rows} gate rows, under {_FEW_ROWS}"]
    return [f"{len(small)} classes have under {_FEW_ROWS} gate rows, fewest {name} with {rows}"]
