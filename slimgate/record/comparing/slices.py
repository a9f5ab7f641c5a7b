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
    found = []
    for key, now in after.items():
        if key not in before:
            continue
        was, test = before[key], tested.get(key)
        metric = metrics.get(key.metric)
        sign = 1 if metric is None or metric.higher_is_better else -1
        found.append(
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
    return sorted(found, key=lambda one: (1.0 if one.p_holm is None else one.p_holm, -(one.drop_points or 0)))


def _slices(record: RunRecord, model: VariantRecord) -> dict[Key, _Values]:
    """Of the teacher as its variants' records tell them."""
    if model.name != record.variants[0].name:
        return {_key(one): _Values(one.variant, one.n, one.drop_points) for one in _facts(model)}
    return {
        _key(one): _Values(one.teacher, one.n, None)
        for variant in reversed(record.variants[1:])
        for one in _facts(variant)
    }


def _facts(model: VariantRecord) -> list[SliceFacts]:
    return (model.behaviour.slices or []) if model.behaviour else []


def _key(one: SliceFacts) -> Key:
    return Key(one.metric, one.column, one.value)


def _tests(names: set[str], metrics: Mapping[str, Metric | None], pair: Pair | None) -> dict[Key, SliceFacts]:
    """The test of every label of the metrics that are 0 or 1 per row."""
    if pair is None:
        return {}
    old, new = pair
    slices = label_slices(old)
    able = [metric for name in sorted(names) if (metric := metrics.get(name)) and metric.per_row is not None]
    return {
        Key(one.metric, one.column, one.value): one
        for metric in able
        for one in judge_slices(metric, old, new, slices, _NO_LOSS)
    }
