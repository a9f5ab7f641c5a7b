"""Slices of one model in two releases.

The slices that the labels make are tested, for the answers hold the labels; of other columns only the
values are known, since no record says which rows a slice has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from slimgate.judge.metrics import Metric
from slimgate.judge.slices import judge_slices, label_slices
from slimgate.record import RunRecord, SliceFacts, VariantRecord
from slimgate.record.comparing.answers import Pair
from slimgate.record.comparing.facts import SliceChange

# Points: a change that costs a slice nothing is what Holm's correction is taken against.
_NO_LOSS = 0.0


class Key(NamedTuple):
    """What tells a slice from the others of a model."""

    metric: str
    column: str
    value: str


class _Values(NamedTuple):
    value: float
    rows: int
    drop: float | None


def slice_changes(
    old: tuple[RunRecord, VariantRecord],
    new: tuple[RunRecord, VariantRecord],
    metrics: Mapping[str, Metric | None],
    pair: Pair | None,
) -> list[SliceChange]:
    """Each slice that both releases have of a model, the surest loss first, then the largest."""
    before, after = _slices(*old), _slices(*new)
    tested = _tests({key.metric for key in after}, metrics, pair)
    changes = []
    for key, now in after.items():
        if key not in before:
            continue
        was, test = before[key], tested.get(key)
        metric = metrics.get(key.metric)
        sign = 1 if metric is None or metric.higher_is_better else -1
        changes.append(
            SliceChange(
                metric=key.metric,
                column=key.column,
                value=key.value,
                rows=now.rows,
                old=was.value,
                new=now.value,
                drop_points=sign * 100 * (was.value - now.value),
                interval=test and test.interval,
                method=test and test.method,
                n=test and test.n,
                old_drop=was.drop,
                new_drop=now.drop,
                p_holm=test and test.p_holm,
            )
        )
    return sorted(
        changes,
        key=lambda change: (1.0 if change.p_holm is None else change.p_holm, -(change.drop_points or 0)),
    )


def _slices(record: RunRecord, model: VariantRecord) -> dict[Key, _Values]:
    """Of the teacher as its variants' records tell them."""
    if model.name != record.variants[0].name:
        return {_key(part): _Values(part.variant, part.n, part.drop_points) for part in _facts(model)}
    return {
        _key(part): _Values(part.teacher, part.n, None)
        for variant in reversed(record.variants[1:])
        for part in _facts(variant)
    }


def _facts(model: VariantRecord) -> list[SliceFacts]:
    return (model.behaviour.slices or []) if model.behaviour else []


def _key(part: SliceFacts) -> Key:
    return Key(part.metric, part.column, part.value)


def _tests(names: set[str], metrics: Mapping[str, Metric | None], pair: Pair | None) -> dict[Key, SliceFacts]:
    """The test of every label of the metrics that are 0 or 1 per row."""
    if pair is None:
        return {}
    old, new = pair
    slices = label_slices(old)
    able = [metric for name in sorted(names) if (metric := metrics.get(name)) and metric.per_row is not None]
    return {
        Key(part.metric, part.column, part.value): part
        for metric in able
        for part in judge_slices(metric, old, new, slices, _NO_LOSS)
    }
