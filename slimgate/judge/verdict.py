"""Budgets in, verdicts out: do the gate rows show that a drop is inside its budget, or that it is not?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slimgate.judge.bands import band
from slimgate.judge.budget_kinds import BudgetKind, Measured, QualityBudget, check_budget
from slimgate.judge.budget_verdict import judge_budget
from slimgate.judge.decision import BudgetVerdict, Verdict, combined
from slimgate.judge.evidence import Changed, Evidence
from slimgate.judge.levels import LEVEL
from slimgate.judge.metrics.base import Unit

__all__ = [
    "BudgetKind",
    "BudgetVerdict",
    "QualityBudget",
    "QualityJudgement",
    "Verdict",
    "check_budget",
    "combined",
    "judgement_of",
    "most_rows",
]


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
    unit: Unit = "points"
    p_at_least: Callable[[float], float] | None = field(default=None, compare=False, repr=False)
    family: str | None = None


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
        p_at_least=lambda points: evidence.p_at_least(points / 100),
    )


def most_rows(judged: Sequence[BudgetVerdict]) -> int | None:
    """The rows that would decide every undecided budget; None where one can never be, or all are decided."""
    rows = [one.n_needed for one in judged if one.verdict is Verdict.INCONCLUSIVE]
    known = [one for one in rows if one is not None]
    return max(known, default=None) if len(known) == len(rows) else None
