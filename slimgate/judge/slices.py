"""Slices: the drop on each group of gate rows that share a value, and which of them lost too much.

Holm's correction: of many tests at once, the chance to reject any true hypothesis stays at its level.

How many slices are shown to be inside a budget, in words.

The gap between the slices of a column, before and after: does compression treat groups less alike?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.errors import SuiteError
from slimgate.judge.behaviour_parts import SliceFacts, SliceGapFacts
from slimgate.judge.decision import ALPHA, Verdict
from slimgate.judge.evidence import Evidence, gather_parts
from slimgate.judge.metrics.base import Metric
from slimgate.judge.verdict import BudgetVerdict, worst_verdict
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes

# Fewer rows than these show only the grossest of drops.
FEW_ROWS = 50
LABEL = "label"
SLICED = "accuracy"  # what slices show where no budget names a metric
NOT_PER_ROW = "is not 0 or 1 per row as accuracy is; budgets of such metrics on slices are not supported yet"


def adjust_by_holm(p_values: Floats) -> Floats:
    """Adjusted p-values, in the order given: those at most `level` are rejected at that family-wise level.

    p_values: (tests,) in [0, 1]; tests may depend on each other in any way.
    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    tests = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * (tests - np.arange(tests))
    adjusted = np.empty(tests)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted


def slice_counts(slices: Sequence[SliceFacts]) -> str:
    """`12 inside, 65 not shown (worst: label refund, drop 25.0 [15.6, 37.6], n=40)`, or `all 77 inside`."""
    unknown = [one for one in slices if one.verdict is Verdict.NOT_SHOWN]
    if not unknown:
        return f"all {len(slices)} inside"
    worst = max(unknown, key=lambda one: (one.drop_points, -one.n))
    inside = sum(one.verdict is Verdict.PASS for one in slices)
    low, high = worst.interval
    drop = f"drop {worst.drop_points:.1f} [{low:.1f}, {high:.1f}], n={worst.n:,}"
    return f"{inside} inside, {len(unknown)} not shown (worst: {worst.column} {worst.value}, {drop})"


@dataclass(frozen=True, eq=False)
class Slice:
    """Gate rows that share a value of a column. rows: their positions."""

    column: str
    value: str
    rows: Ints


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
    drop_points: float | None = None,
) -> tuple[SliceFacts, ...]:
    """Judges a metric of 0/1 per row on every slice by Tango's test, the largest drop first.

    drop_points: the budget, what each slice may lose; None without one.
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
    p_values, adjusted = _p_values(evidence, drop_points)
    judged = []
    for k, (one, found) in enumerate(zip(slices, evidence, strict=True)):
        low, high = found.interval or (-1.0, 1.0)
        values = float(before[one.rows].mean()), float(after[one.rows].mean())
        judgement = SliceFacts(
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
            verdict=_verdict(found, adjusted[k], drop_points),
        )
        judged.append(judgement)
    return tuple(sorted(judged, key=lambda one: (-one.drop_points, -one.n)))


def slices_verdict(
    metric: str, judged: Sequence[SliceFacts], drop_points: float, reason: str | None = None
) -> BudgetVerdict:
    """FAIL if any slice FAILs, PASS if every slice is shown to be inside, else NOT_SHOWN.

    FAIL takes Holm's correction: one of many slices looks bad by chance. PASS takes none, because all slices
    must be inside: if one is not, the chance that its own test says otherwise is 5 % (an intersection-union
    test). Source: Berger 1982, Technometrics 24:295-300.
    """
    verdict = worst_verdict([one.verdict for one in judged if one.verdict is not None]) or Verdict.NOT_SHOWN
    return BudgetVerdict(slices_kind(metric), drop_points, verdict, reason, None)


def slices_kind(metric: str) -> str:
    """The kind that a budget of a metric on slices has in the record."""
    return f"slices.{metric}"


def _p_values(
    evidence: Sequence[Evidence], drop_points: float | None
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    """As they are, and corrected."""
    if drop_points is None:
        return [None] * len(evidence), [None] * len(evidence)
    found = [one.p_at_most(drop_points / 100) for one in evidence]
    return found, adjust_by_holm(np.array(found)).tolist()


def _verdict(evidence: Evidence, p_holm: float | None, drop_points: float | None) -> Verdict | None:
    if drop_points is None or p_holm is None:
        return None
    if p_holm <= ALPHA:
        return Verdict.FAIL
    return Verdict.PASS if evidence.shows_below(drop_points / 100) else Verdict.NOT_SHOWN


def slice_gaps(judged: Sequence[SliceFacts]) -> tuple[SliceGapFacts, ...]:
    """A gap for each metric and column that has two slices of enough rows; the labels' come last."""
    keys = {(one.metric, one.column) for one in judged}
    found = (
        _gap([one for one in judged if (one.metric, one.column) == key]) for key in sorted(keys, key=_rank)
    )
    return tuple(gap for gap in found if gap is not None)


def _rank(key: tuple[str, str]) -> tuple[str, bool, str]:
    metric, column = key
    return metric, column == LABEL, column


def _gap(slices: Sequence[SliceFacts]) -> SliceGapFacts | None:
    kept = [one for one in slices if not one.few_rows]
    if len(kept) < 2:
        return None
    teacher, variant = [one.teacher for one in kept], [one.variant for one in kept]
    return SliceGapFacts(
        metric=kept[0].metric,
        column=kept[0].column,
        slices=len(kept),
        few_rows=len(slices) - len(kept),
        teacher_points=100 * (max(teacher) - min(teacher)),
        variant_points=100 * (max(variant) - min(variant)),
    )
