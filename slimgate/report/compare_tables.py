"""The tables of a comparison of two releases."""

from __future__ import annotations

from collections.abc import Sequence

from slimgate._system.escape import escaped
from slimgate.judge.slices import FEW_ROWS
from slimgate.record.comparing import Comparison, LatencyChange, MetricChange, ModelChange, Moved, SliceChange
from slimgate.report.figures import MISSING, as_fast, count, fixed, megabytes, percent, significant, smaller
from slimgate.report.standing import workload_words
from slimgate.report.tables import Column, blocks, bullets, table, without_empty

# Of each model so many slices are shown, the surest losses first.
_MOST_SLICES = 8
# Smaller changes of a size are of the files' headers, not of the model.
_SIZE_SHARE = 0.001
# A slice that moved by less is not worth a line unless its test says so.
_SLICE_POINTS = 1.0
_ALPHA = 0.05


def metric_table(models: Sequence[ModelChange]) -> str:
    """A line a model and metric: between the releases, and behind the teacher in each."""
    found = [(model, one) for model in models for one in model.metrics]
    columns = [
        Column("model", [escaped(model.name) for model, _ in found]),
        Column("metric", [escaped(one.metric) for _, one in found]),
        Column("old → new", [_values(one) for _, one in found], right=True),
        Column("drop between releases", [_drop(one) for _, one in found], right=True),
        Column("rows lost / won", [_rows(one) for _, one in found], right=True),
        Column("behind its teacher, old → new", [_behind(one) for _, one in found], right=True),
    ]
    readings = [
        f"{escaped(model.name)}, {escaped(one.metric)}: {one.reading}." for model, one in found if one.reading
    ]
    return blocks(table(without_empty(columns)), bullets(readings))


def slice_table(found: Comparison) -> str:
    """The slices that moved, of the teacher and every variant."""
    models = [*([found.teacher] if found.teacher else []), *found.variants]
    moved = [(model, one) for model in models for one in model.slices if _worth_telling(one)]
    shown = [
        (model, one)
        for model in models
        for one in [one for other, one in moved if other is model][:_MOST_SLICES]
    ]
    if not shown:
        return ""
    columns = [
        Column("model", [escaped(model.name) for model, _ in shown]),
        Column("slice", [f"{escaped(one.column)} {escaped(one.value, longest=60)}" for _, one in shown]),
        Column("rows", [count(one.rows) for _, one in shown], right=True),
        Column("metric", [escaped(one.metric) for _, one in shown]),
        Column("old → new", [_values(one) for _, one in shown], right=True),
        Column("drop between releases", [_drop(one) for _, one in shown], right=True),
        Column("p (Holm)", [significant(one.p_holm, 2) for _, one in shown], right=True),
        Column("behind its teacher, old → new", [_drops(one) for _, one in shown], right=True),
    ]
    hidden = len(moved) - len(shown)
    return blocks(
        table(without_empty(columns)),
        f"{count(hidden)} more slices moved by a point or more." if hidden else "",
    )


def size_table(found: Comparison) -> str:
    """Bytes of every model whose size changed, by a thousandth or more."""
    models = [*([found.teacher] if found.teacher else []), *found.variants]
    sized = [
        (model, size)
        for model in models
        if (size := model.size)
        and abs(size.new_bytes - size.old_bytes) > _SIZE_SHARE * max(size.old_bytes, 1)
    ]
    return table(
        without_empty(
            [
                Column("model", [escaped(model.name) for model, _ in sized]),
                Column("old, MB", [megabytes(size.old_bytes) for _, size in sized], right=True),
                Column("new, MB", [megabytes(size.new_bytes) for _, size in sized], right=True),
                Column("change", [_growth(size.old_bytes, size.new_bytes) for _, size in sized], right=True),
                Column("old", [smaller(size.old_compression) or MISSING for _, size in sized], right=True),
                Column("new", [smaller(size.new_compression) or MISSING for _, size in sized], right=True),
            ]
        )
    )


def latency_table(found: Comparison) -> str:
    """Medians and speed-ups of both releases; a change only where the machine is the same."""
    models = [*([found.teacher] if found.teacher else []), *found.variants]
    timed = [(model, one) for model in models for one in model.latency]
    columns = [
        Column("model", [escaped(model.name) for model, _ in timed]),
        Column("workload", [workload_words(one.workload) for _, one in timed]),
        Column("median ms, old → new", [_medians(one) for _, one in timed], right=True),
        Column("old, against its teacher", [_duel(one, new=False) for _, one in timed], right=True),
        Column("new, against its teacher", [_duel(one, new=True) for _, one in timed], right=True),
        Column("change", [_change(found, one) for _, one in timed]),
    ]
    return table(without_empty(columns))


def _values(one: Moved) -> str:
    digits = 3 if max(abs(one.old), abs(one.new)) < 10 else 2
    return f"{fixed(one.old, digits)} → {fixed(one.new, digits)}"


def _drop(one: Moved) -> str:
    unit = " %" if one.unit == "percent" else ""
    shown = f"{fixed(one.drop_points, 1)}{unit}{_bounds(one.interval)}"
    return f"**{shown}**" if one.shown == "worse" else shown


def _bounds(interval: tuple[float, float] | None) -> str:
    return f" [{fixed(interval[0], 1)}, {fixed(interval[1], 1)}]" if interval else ""


def _rows(one: Moved) -> str:
    if one.right_to_wrong is None:
        return MISSING
    return f"{count(one.right_to_wrong)} / {count(one.wrong_to_right)}"


def _behind(one: MetricChange) -> str:
    if one.old_drop is None or one.new_drop is None:
        return MISSING
    before = f"{fixed(one.old_drop, 1)}{_bounds(one.old_drop_interval)}"
    return f"{before} → {fixed(one.new_drop, 1)}{_bounds(one.new_drop_interval)}"


def _drops(one: SliceChange) -> str:
    if one.old_drop is None or one.new_drop is None:
        return MISSING
    return f"{fixed(one.old_drop, 1)} → {fixed(one.new_drop, 1)}"


def _worth_telling(one: SliceChange) -> bool:
    if one.p_holm is not None and one.p_holm <= _ALPHA:
        return True
    return one.rows >= FEW_ROWS and abs(one.drop_points or 0.0) >= _SLICE_POINTS


def _growth(before: int, after: int) -> str:
    return percent(after / before - 1, 1) if before else MISSING


def _medians(one: LatencyChange) -> str:
    if one.old_p50_ms is None and one.new_p50_ms is None:
        return MISSING
    return f"{significant(one.old_p50_ms)} → {significant(one.new_p50_ms)}"


def _duel(one: LatencyChange, *, new: bool) -> str:
    speedup, interval = (one.new_speedup, one.new_interval) if new else (one.old_speedup, one.old_interval)
    return as_fast(speedup, interval) or MISSING


def _change(found: Comparison, one: LatencyChange) -> str:
    if not found.same_machine:
        return "another machine"
    return {"slower": "**slower**", None: MISSING}.get(one.change, str(one.change))
