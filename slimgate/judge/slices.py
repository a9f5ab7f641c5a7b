"""Slices: the drop on each group of gate rows that share a value, and which of them lost too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.errors import SuiteError
from slimgate.judge.evidence import Evidence, gather_parts
from slimgate.judge.holm import holm_adjusted
from slimgate.judge.levels import ALPHA
from slimgate.judge.metrics.base import Metric
from slimgate.judge.verdict import BudgetVerdict, Verdict, combined
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes

# Fewer rows than these show only the grossest of drops.
FEW_ROWS = 50
LABEL = "label"
SLICED = "accuracy"  # what slices show where no budget names a metric
NOT_PER_ROW = "is not 0 or 1 per row as accuracy is; budgets of such metrics on slices are not supported yet"


@dataclass(frozen=True, eq=False)
class Slice:
    """Gate rows that share a value of a column. rows: their positions."""

    column: str
    value: str
    rows: Ints


@dataclass(frozen=True)
class SliceBudget:
    """How many percentage points of a metric any slice may lose."""

    drop_points: float
    reason: str | None = None


@dataclass(frozen=True)
class SliceJudgement:
    """One metric on one slice. teacher, variant: in the metric's unit; drop_points, interval: points, 90 %.

    p_value: one-sided, of the hypothesis that the true drop is within the budget; p_holm: the same, corrected
    for all slices of the metric. verdict: FAIL if p_holm is at most 5 %, PASS if the interval is below the
    budget, else NOT_SHOWN. All three None without a budget.
    """

    metric: str
    column: str
    value: str
    n: int
    teacher: float
    variant: float
    drop_points: float
    interval: tuple[float, float]
    method: str
    groups: int | None
    few_rows: bool
    p_value: float | None = None
    p_holm: float | None = None
    verdict: Verdict | None = None


def label_slices(outcomes: Outcomes) -> list[Slice]:
    """The rows of each label that has any, in the order of the classes; none where rows have no class."""
    if not isinstance(outcomes, ClassOutcomes):
        return []
    found = ((name, np.flatnonzero(outcomes.labels == k)) for k, name in enumerate(outcomes.classes))
    return [Slice(LABEL, name, rows) for name, rows in found if len(rows)]


def judge_slices(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    slices: Sequence[Slice],
    budget: SliceBudget | None = None,
) -> tuple[SliceJudgement, ...]:
    """Judges a metric of 0/1 per row on every slice by Tango's test, the largest drop first.

    With a budget, Holm's correction over all of the slices; a slice that FAILs has lost more than the budget,
    and the chance that any does which has not is 5 %, but for Tango's approximation: up to 12 % where every
    slice is exactly at its budget, under 1 % of an equal variant (reports/simulations/count_verdicts.md).
    Raises SuiteError for another kind of metric.
    """
    if metric.per_row is None:
        raise SuiteError(f"{metric.name} {NOT_PER_ROW}")
    before, after = metric.per_row(teacher), metric.per_row(variant)
    sign = 1.0 if metric.higher_is_better else -1.0
    evidence = gather_parts(metric, teacher, variant, [one.rows for one in slices])
    p_values, adjusted = _p_values(evidence, slices, budget)
    judged = []
    for k, (one, found) in enumerate(zip(slices, evidence, strict=True)):
        low, high = found.interval or (-1.0, 1.0)
        values = float(before[one.rows].mean()), float(after[one.rows].mean())
        judgement = SliceJudgement(
            metric=metric.name,
            column=one.column,
            value=one.value,
            n=len(one.rows),
            teacher=values[0],
            variant=values[1],
            drop_points=100 * sign * (values[0] - values[1]),
            interval=(100 * low, 100 * high),
            method=found.method,
            groups=found.groups,
            few_rows=len(one.rows) < FEW_ROWS,
            p_value=p_values[k],
            p_holm=adjusted[k],
            verdict=_verdict(found, adjusted[k], budget),
        )
        judged.append(judgement)
    return tuple(sorted(judged, key=lambda one: (-one.drop_points, -one.n)))


def slices_verdict(metric: str, judged: Sequence[SliceJudgement], budget: SliceBudget) -> BudgetVerdict:
    """FAIL if any slice FAILs, PASS if every slice is shown to be inside, else NOT_SHOWN.

    FAIL takes Holm's correction: one of many slices looks bad by chance. PASS takes none, because all slices
    must be inside: if one is not, the chance that its own test says otherwise is 5 % (an intersection-union
    test). Source: Berger 1982, Technometrics 24:295-300.
    """
    verdict = combined([one.verdict for one in judged if one.verdict is not None]) or Verdict.NOT_SHOWN
    return BudgetVerdict(slices_kind(metric), budget.drop_points, verdict, budget.reason, None)


def slices_kind(metric: str) -> str:
    """The kind that a budget of a metric on slices has in the record."""
    return f"slices.{metric}"


def _p_values(
    evidence: Sequence[Evidence], slices: Sequence[Slice], budget: SliceBudget | None
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    """As they are, and corrected."""
    if budget is None:
        return [None] * len(slices), [None] * len(slices)
    margin = budget.drop_points / 100
    found = [one.p_at_most(margin) for one in evidence]
    return found, holm_adjusted(np.array(found)).tolist()


def _verdict(evidence: Evidence, p_holm: float | None, budget: SliceBudget | None) -> Verdict | None:
    if budget is None or p_holm is None:
        return None
    if p_holm <= ALPHA:
        return Verdict.FAIL
    return Verdict.PASS if evidence.below(budget.drop_points / 100) else Verdict.NOT_SHOWN
