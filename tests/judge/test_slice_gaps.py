"""slimgate.judge.slices: largest minus smallest, before and after, without slices of few rows."""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.judge.slices import list_slice_gaps
from slimgate.results.behaviour import SliceFacts


def judged(column: str, value: str, teacher: float, variant: float, **fields: Any) -> SliceFacts:
    common = {"metric": "accuracy", "n": 100, "interval": (0.0, 0.0), "method": "Tango", "groups": None}
    drop = 100 * (teacher - variant)
    figures = {"column": column, "value": value, "teacher": teacher, "variant": variant, "drop_points": drop}
    return SliceFacts(**{**common, "few_rows": False, **figures, **fields})


def test_a_gap_is_the_largest_minus_the_smallest_in_each_model() -> None:
    [gap] = list_slice_gaps(
        [
            judged("length", "short", 0.80, 0.70),
            judged("length", "middle", 0.90, 0.88),
            judged("length", "long", 0.85, 0.60),
        ]
    )
    # 0.90 - 0.80, and 0.88 - 0.60: the worst slice of the one is not that of the other
    assert (gap.metric, gap.column, gap.slices, gap.few_rows) == ("accuracy", "length", 3, 0)
    assert (gap.teacher_points, gap.variant_points) == pytest.approx((10.0, 28.0))


def test_slices_of_few_rows_are_left_out_and_counted() -> None:
    slices = [
        judged("c", "a", 0.8, 0.8),
        judged("c", "b", 0.9, 0.7),
        judged("c", "x", 0.0, 1.0, few_rows=True),
    ]
    [gap] = list_slice_gaps(slices)
    assert (gap.slices, gap.few_rows) == (2, 1)
    assert gap.variant_points == pytest.approx(10.0)


@pytest.mark.parametrize("flags", [[False], [False, True], []])
def test_less_than_two_slices_have_no_gap(flags: list[bool]) -> None:
    assert (
        list_slice_gaps([judged("c", str(k), 0.8, 0.8, few_rows=flag) for k, flag in enumerate(flags)]) == ()
    )


def test_each_metric_and_column_has_its_own_and_labels_come_last() -> None:
    slices = [
        judged(column, value, 0.8, 0.8, metric=metric)
        for metric in ("recall", "accuracy")
        for column in ("label", "topic", "kind")
        for value in "ab"
    ]
    assert [(gap.metric, gap.column) for gap in list_slice_gaps(slices)] == [
        ("accuracy", "kind"),
        ("accuracy", "topic"),
        ("accuracy", "label"),
        ("recall", "kind"),
        ("recall", "topic"),
        ("recall", "label"),
    ]


def test_equal_models_have_equal_gaps_whatever_the_order() -> None:
    slices = [judged("c", str(k), value, value) for k, value in enumerate((0.5, 0.9, 0.7))]
    [gap], [other] = list_slice_gaps(slices), list_slice_gaps(slices[::-1])
    assert gap == other
    assert gap.teacher_points == gap.variant_points == pytest.approx(40.0)
