"""The gap between the slices of a column, before and after: does compression treat groups less alike?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimgate.judge.slices import LABEL, SliceJudgement


@dataclass(frozen=True)
class SliceGap:
    """The largest minus the smallest value of a metric over the slices of a column, in points.

    slices: how many are compared; few_rows: how many more were left out, as their values are mostly chance.
    A description, not a verdict: a largest minus a smallest is above 0 by chance too, in both models.
    """

    metric: str
    column: str
    slices: int
    few_rows: int
    teacher_points: float
    variant_points: float


def slice_gaps(judged: Sequence[SliceJudgement]) -> tuple[SliceGap, ...]:
    """A gap for each metric and column that has two slices of enough rows; the labels' come last."""
    keys = {(one.metric, one.column) for one in judged}
    found = (
        _gap([one for one in judged if (one.metric, one.column) == key]) for key in sorted(keys, key=_rank)
    )
    return tuple(gap for gap in found if gap is not None)


def _rank(key: tuple[str, str]) -> tuple[str, bool, str]:
    metric, column = key
    return metric, column == LABEL, column


def _gap(slices: Sequence[SliceJudgement]) -> SliceGap | None:
    kept = [one for one in slices if not one.few_rows]
    if len(kept) < 2:
        return None
    teacher, variant = [one.teacher for one in kept], [one.variant for one in kept]
    return SliceGap(
        metric=kept[0].metric,
        column=kept[0].column,
        slices=len(kept),
        few_rows=len(slices) - len(kept),
        teacher_points=100 * (max(teacher) - min(teacher)),
        variant_points=100 * (max(variant) - min(variant)),
    )
