"""Slices: the drop on each group of gate rows that share a value, and which slices lost too much.

The gap between the slices of a column, for teacher and variant, shows whether compression treats groups less
equally.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from slimgate._system.number_text import format_apart
from slimgate.errors import SuiteError
from slimgate.judge.budget_tables import (
    LABEL,
    NOT_PER_ROW,
    SliceBudget,
    SliceName,
    is_named_slice_kind,
    make_slices_kind,
)
from slimgate.judge.decision import ALPHA, choose_verdict
from slimgate.judge.evidence import Evidence, gather_evidence_of_parts
from slimgate.judge.metrics.base import Metric, compute_row_values
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes
from slimgate.results.base import BudgetFacts, Verdict, find_worst_verdict
from slimgate.results.behaviour import SliceFacts, SliceGapFacts

# Fewer rows than this show only very large drops.
FEW_ROWS = 50


def adjust_by_holm(p_values: Floats) -> Floats:
    """Adjusted p-values, in the order given: those at most `level` are rejected at that family-wise level.

    With many tests, the chance to reject any true hypothesis stays at the level.
    p_values: (tests,) in [0, 1]; tests may depend on each other in any way.
    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    tests = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * (tests - np.arange(tests))
    adjusted = np.empty(tests)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted


def format_slice_counts(slices: Sequence[SliceFacts], limit: float) -> str:
    """`12 inside, 65 undecided (worst: label refund, drop 25.0 [15.6, 37.6], n=40)`, or `all 77 inside`.

    limit: in points; no figure is rounded to it.
    """
    undecided = [part for part in slices if part.verdict is Verdict.INCONCLUSIVE]
    if not undecided:
        return f"all {len(slices)} inside"
    worst = max(undecided, key=lambda part: (part.drop_points, -part.n))
    inside = sum(part.verdict is Verdict.PASS for part in slices)
    drop, low, high = format_apart((worst.drop_points, *worst.interval), [limit])
    where = f"worst: {worst.column} {worst.value}, drop {drop} [{low}, {high}], n={worst.n:,}"
    return f"{inside} inside, {len(undecided)} undecided ({where})"


@dataclass(frozen=True, eq=False)
class Slice:
    """Gate rows that share a value of a column. rows: their positions."""

    column: str
    value: str
    rows: Ints


def list_label_slices(outcomes: Outcomes) -> list[Slice]:
    """The rows of each label that has any, in the order of the classes; empty if rows have no class."""
    if not isinstance(outcomes, ClassOutcomes):
        return []
    rows_by_label = ((name, np.flatnonzero(outcomes.labels == k)) for k, name in enumerate(outcomes.classes))
    return [Slice(LABEL, name, rows) for name, rows in rows_by_label if len(rows)]


def judge_slices(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    slices: Sequence[Slice],
    limit: float | None = None,
    *,
    own_limits: Mapping[tuple[str, str], float] | None = None,
) -> tuple[SliceFacts, ...]:
    """Judges a metric of 0/1 per row on every slice by Tango's test, the largest drop first.

    limit: the points that each slice may lose; None without a budget. own_limits: the limits of slices with a
    budget by themselves, by column and value. With a budget, Holm's correction covers all of the slices. A
    slice that FAILs has lost more than the budget. The chance that any slice FAILs without that loss is 5 %,
    except for Tango's approximation: up to 12 % if every slice is exactly at its budget, under 1 % for an
    equal variant (reports/simulations/count_verdicts.md).
    The slices that a budget names are a second family: a suite may name as many as it likes.
    Raises SuiteError for another kind of metric.
    """
    if metric.per_row is None:
        raise SuiteError(f"{metric.name} {NOT_PER_ROW}")
    before, after = compute_row_values(metric, teacher), compute_row_values(metric, variant)
    sign = 1.0 if metric.higher_is_better else -1.0
    evidence = gather_evidence_of_parts(metric, teacher, variant, [part.rows for part in slices])
    limits = [None if own_limits is None else own_limits.get((part.column, part.value)) for part in slices]
    for_all = _judge_family(evidence, [limit] * len(slices))
    by_name = _judge_family(evidence, limits)
    judged = []
    for k, (part, proof) in enumerate(zip(slices, evidence, strict=True)):
        values = float(before[part.rows].mean()), float(after[part.rows].mean())
        drop = sign * (values[0] - values[1])
        unjudged = _make_slice_facts(metric, part, proof, values, drop)
        judgement = unjudged.replace(
            p_value=for_all[k].p_value,
            p_holm=for_all[k].p_holm,
            verdict=for_all[k].verdict,
            n_needed=_count_slice_rows_needed(proof, for_all[k].verdict, limit, drop),
            own_verdict=by_name[k].verdict,
            own_n_needed=_count_slice_rows_needed(proof, by_name[k].verdict, limits[k], drop),
        )
        judged.append(judgement)
    return tuple(sorted(judged, key=lambda part: (-part.drop_points, -part.n)))


def _make_slice_facts(
    metric: Metric, part: Slice, proof: Evidence, values: tuple[float, float], drop: float
) -> SliceFacts:
    """The facts without a verdict. values: of teacher and variant; drop: in the metric's unit."""
    low, high = proof.interval or (-1.0, 1.0)
    return SliceFacts(
        metric=metric.name,
        column=part.column,
        value=part.value,
        n=len(part.rows),
        teacher=values[0],
        variant=values[1],
        drop_points=100 * drop,
        interval=(100 * low, 100 * high),
        method=proof.method,
        groups=proof.groups,
        few_rows=len(part.rows) < FEW_ROWS,
    )


def decide_all_slices(
    metric: str, judged: Sequence[SliceFacts], limit: float, reason: str | None = None
) -> BudgetFacts:
    """FAIL if any slice FAILs, PASS if every slice is shown to be inside, else INCONCLUSIVE.

    FAIL takes Holm's correction: one of many slices looks bad by chance. PASS takes none, because all slices
    must be inside: if one is not, the chance that its own test says otherwise is 5 % (an intersection-union
    test). Source: Berger 1982, Technometrics 24:295-300.
    n_needed: the gate rows that would decide every slice, if each keeps its share of them.
    """
    verdicts = [part.verdict for part in judged if part.verdict is not None]
    verdict = find_worst_verdict(verdicts) or Verdict.INCONCLUSIVE
    undecided = [part for part in judged if part.verdict is Verdict.INCONCLUSIVE]
    column_rows = Counter[str]()
    for part in judged:
        column_rows[part.column] += part.n
    rows = [
        None if part.n_needed is None else part.n_needed / part.n * column_rows[part.column]
        for part in undecided
    ]
    known = [count for count in rows if count is not None]
    needed = ceil(max(known)) if verdict is Verdict.INCONCLUSIVE and known == rows and known else None
    return BudgetFacts(
        kind=make_slices_kind(metric), limit=limit, verdict=verdict, reason=reason, n_needed=needed
    )


def decide_named_slice(name: SliceName, judged: Sequence[SliceFacts], budget: SliceBudget) -> BudgetFacts:
    """The verdict of a budget on one named slice. n_needed: rows of that slice.

    INCONCLUSIVE if the slice has no gate row.
    """
    kind = make_slices_kind(name.metric, name.column, name.value)
    facts = next((part for part in judged if (part.column, part.value) == (name.column, name.value)), None)
    if facts is None or facts.own_verdict is None:
        return BudgetFacts(kind=kind, limit=budget.limit, verdict=Verdict.INCONCLUSIVE, reason=budget.reason)
    return BudgetFacts(
        kind=kind,
        limit=budget.limit,
        verdict=facts.own_verdict,
        reason=budget.reason,
        n_needed=facts.own_n_needed,
        value=facts.drop_points,
        interval=facts.interval,
    )


def select_budget_slices(slices: Sequence[SliceFacts], kind: str) -> list[SliceFacts]:
    """The slices that a budget of this kind limits: all of its metric, or the named slice."""
    if is_named_slice_kind(kind):
        return [part for part in slices if make_slices_kind(part.metric, part.column, part.value) == kind]
    return [part for part in slices if make_slices_kind(part.metric) == kind]


class _FamilyVerdict(NamedTuple):
    """The verdict on one slice; None if it has no budget."""

    p_value: float | None
    p_holm: float | None
    verdict: Verdict | None


def _judge_family(evidence: Sequence[Evidence], limits: Sequence[float | None]) -> list[_FamilyVerdict]:
    """FAIL by Holm's correction over the slices that have a limit, PASS by each slice's own test."""
    tested = [k for k, limit in enumerate(limits) if limit is not None]
    p_values = [evidence[k].p_at_most((limits[k] or 0.0) / 100) for k in tested]
    verdicts = [_FamilyVerdict(None, None, None)] * len(evidence)
    for k, p_value, p_holm in zip(tested, p_values, adjust_by_holm(np.array(p_values)).tolist(), strict=True):
        inside = evidence[k].shows_below((limits[k] or 0.0) / 100)
        verdicts[k] = _FamilyVerdict(p_value, p_holm, choose_verdict(inside=inside, outside=p_holm <= ALPHA))
    return verdicts


def _count_slice_rows_needed(
    evidence: Evidence, verdict: Verdict | None, limit: float | None, drop: float
) -> int | None:
    """The rows of a slice that would decide it; None if it is decided, or if no number of rows would."""
    if verdict is not Verdict.INCONCLUSIVE or limit is None:
        return None
    return evidence.count_rows_needed(limit / 100, drop)


def list_slice_gaps(judged: Sequence[SliceFacts]) -> tuple[SliceGapFacts, ...]:
    """A gap for each metric and column that has two slices of enough rows; the labels' come last."""
    keys = {(part.metric, part.column) for part in judged}
    gaps = (
        _make_gap([part for part in judged if (part.metric, part.column) == key])
        for key in sorted(keys, key=lambda key: (key[0], key[1] == LABEL, key[1]))
    )
    return tuple(gap for gap in gaps if gap is not None)


def _make_gap(slices: Sequence[SliceFacts]) -> SliceGapFacts | None:
    parts = [part for part in slices if not part.few_rows]
    if len(parts) < 2:
        return None
    teacher, variant = [part.teacher for part in parts], [part.variant for part in parts]
    return SliceGapFacts(
        metric=parts[0].metric,
        column=parts[0].column,
        slices=len(parts),
        few_rows=len(slices) - len(parts),
        teacher_points=100 * (max(teacher) - min(teacher)),
        variant_points=100 * (max(variant) - min(variant)),
    )
