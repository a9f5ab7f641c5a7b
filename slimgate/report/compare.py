"""The text of `slimgate compare`: what changed between two releases, as markdown.

It has the verdicts, then the budgets, the teacher and the variants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimgate._system.escape import escape
from slimgate._system.number_text import (
    MISSING,
    format_count,
    format_fixed,
    format_int,
    format_megabytes,
    format_percent,
    format_significant,
)
from slimgate.judge.decision import ALPHA
from slimgate.judge.slices import FEW_ROWS
from slimgate.record.comparing import (
    Comparison,
    LatencyChange,
    MeasurementChange,
    MetricChange,
    ModelChange,
    Moved,
    SliceChange,
)
from slimgate.report.changed_budgets import format_budget_changes, format_verdict_changes, format_weaker_gate
from slimgate.report.figures import (
    describe_speedup,
    format_compression,
    format_turned_rows,
    format_with_bounds,
)
from slimgate.report.separation import format_separation
from slimgate.report.status import describe_workload
from slimgate.report.tables import (
    Column,
    add_heading,
    blocks,
    format_bullets,
    make_pipe_table,
    remove_empty_columns,
)
from slimgate.results.base import Verdict

# The most slices of a model that are shown, the most certain losses first.
_MOST_SLICES = 8
# Smaller changes of a size come from the files' headers, not from the model.
_SIZE_SHARE = 0.001
# A slice that moved by less gets no line, unless its test shows a change.
_SLICE_POINTS = 1.0
_HOW = (
    "Drops are in percentage points, or in percent where a % sign follows. A positive drop means that the "
    "new release is worse. slimgate compares the answers on the same gate rows with paired tests. The 90 % "
    "intervals are not corrected for the number of comparisons. Without an interval, only the two values are "
    "compared."
)
_HOW_P_VALUES = "The p-values of slices are corrected with Holm's method."
_HOW_LOG_SLICES = (
    "A slice is worse or better if the interval of its new drop does not overlap that of its old drop."
)
_SEPARATION_HEADING = "## Which variants of the new release can be told apart"
_HOW_TO_ACCEPT = (
    "Undo each change that has no reason, or accept the new gate: "
    '`slimgate accept REPORT --name NAME --reason "…"`.'
)
_WORDS = {"worse": "**worse**", "better": "better", "no change shown": "no change shown", None: MISSING}


def make_metric_change_table(comparison: Comparison, models: Sequence[ModelChange]) -> str:
    """A line for each model and metric: between the releases, and compared with the teacher in each."""
    changes = [(model, change) for model in models for change in model.metrics]
    columns = [
        Column("model", [_name_model(comparison, model) for model, _ in changes]),
        Column("metric", [escape(change.metric) for _, change in changes]),
        Column("old → new", [_format_both_values(change) for _, change in changes], right=True),
        Column("drop between releases", [_format_drop(change) for _, change in changes], right=True),
        Column(
            "the new one is",
            [_describe_metric(change) for _, change in changes],
        ),
        Column(
            "right to wrong / back",
            [format_turned_rows(change.right_to_wrong, change.wrong_to_right) for _, change in changes],
            right=True,
        ),
        Column(
            f"behind its {comparison.original}, old → new",
            [_format_teacher_drops(change) for _, change in changes],
            right=True,
        ),
    ]
    readings = [
        f"{_name_model(comparison, model)}, {escape(change.metric)}: {change.reading}."
        for model, change in changes
        if change.reading
    ]
    return blocks(make_pipe_table(remove_empty_columns(columns)), format_bullets(readings))


def _describe_metric(change: MetricChange) -> str:
    if change.interval == (0.0, 0.0):
        return "the same"
    if change.of_log_slice and change.shown is None:
        return _WORDS[change.direction or "no change shown"]
    return _WORDS[change.shown]


def _list_models(comparison: Comparison) -> list[ModelChange]:
    """The teacher, then the variants."""
    return [*([comparison.teacher] if comparison.teacher else []), *comparison.variants]


def _name_model(comparison: Comparison, model: ModelChange) -> str:
    """The model's name in the text: the report's word for the model that all others are compared with."""
    return comparison.original if model is comparison.teacher else escape(model.name)


def format_moved_slices(comparison: Comparison) -> str:
    """The slices that moved, of the teacher and every variant."""
    models = _list_models(comparison)
    moved = [(model, change) for model in models for change in model.slices if _is_worth_telling(change)]
    shown = [
        (model, change)
        for model in models
        for change in [change for other, change in moved if other is model][:_MOST_SLICES]
    ]
    if not shown:
        return ""
    columns = [
        Column("model", [_name_model(comparison, model) for model, _ in shown]),
        Column(
            "slice", [f"{escape(change.column)} {escape(change.value, longest=60)}" for _, change in shown]
        ),
        Column("rows", [format_int(change.rows) for _, change in shown], right=True),
        Column("metric", [escape(change.metric) for _, change in shown]),
        Column("old → new", [_format_both_values(change) for _, change in shown], right=True),
        Column("drop between releases", [_format_moved_drop(change) for _, change in shown], right=True),
        Column("the new one is", [_describe_slice_change(change) for _, change in shown]),
        Column("p (Holm)", [format_significant(change.p_holm, 2) for _, change in shown], right=True),
        Column(
            f"behind its {comparison.original}, old → new",
            [_format_slice_drops(change) for _, change in shown],
            right=True,
        ),
    ]
    hidden = len(moved) - len(shown)
    return blocks(
        make_pipe_table(remove_empty_columns(columns)),
        f"{format_int(hidden)} more slices are worse, or differ by a point or more." if hidden else "",
    )


def make_size_change_table(comparison: Comparison) -> str:
    """Bytes of every model whose size changed, by a thousandth or more."""
    sized = [
        (model, size)
        for model in _list_models(comparison)
        if (size := model.size)
        and abs(size.new_bytes - size.old_bytes) > _SIZE_SHARE * max(size.old_bytes, 1)
    ]
    return make_pipe_table(
        remove_empty_columns(
            [
                Column("model", [_name_model(comparison, model) for model, _ in sized]),
                Column("old, MB", [format_megabytes(size.old_bytes) for _, size in sized], right=True),
                Column("new, MB", [format_megabytes(size.new_bytes) for _, size in sized], right=True),
                Column(
                    "change",
                    [
                        format_percent(size.new_bytes / size.old_bytes - 1, 1) if size.old_bytes else MISSING
                        for _, size in sized
                    ],
                    right=True,
                ),
                Column(
                    "old",
                    [format_compression(size.old_compression) or MISSING for _, size in sized],
                    right=True,
                ),
                Column(
                    "new",
                    [format_compression(size.new_compression) or MISSING for _, size in sized],
                    right=True,
                ),
            ]
        )
    )


def make_latency_change_table(comparison: Comparison) -> str:
    """Medians and speed-ups of both releases; a change only if the machine is the same."""
    timed = [(model, change) for model in _list_models(comparison) for change in model.latency]
    columns = [
        Column("model", [_name_model(comparison, model) for model, _ in timed]),
        Column("workload", [describe_workload(change.workload) for _, change in timed]),
        Column(
            "median ms, old → new",
            [
                MISSING
                if change.old_p50_ms is None and change.new_p50_ms is None
                else f"{format_significant(change.old_p50_ms)} → {format_significant(change.new_p50_ms)}"
                for _, change in timed
            ],
            right=True,
        ),
        Column(
            f"old, against its {comparison.original}",
            [describe_speedup(change.old_speedup, change.old_interval) or MISSING for _, change in timed],
            right=True,
        ),
        Column(
            f"new, against its {comparison.original}",
            [describe_speedup(change.new_speedup, change.new_interval) or MISSING for _, change in timed],
            right=True,
        ),
        Column("change", [_format_change(comparison, change) for _, change in timed]),
    ]
    return make_pipe_table(remove_empty_columns(columns))


def _format_both_values(change: Moved) -> str:
    digits = 3 if max(abs(change.old), abs(change.new)) < 10 else 2
    return f"{format_fixed(change.old, digits)} → {format_fixed(change.new, digits)}"


def _format_drop(change: Moved) -> str:
    unit = " %" if change.unit == "percent" else ""
    shown = f"{format_fixed(change.drop_points, 1)}{unit}{_format_bounds(change.interval)}"
    return f"**{shown}**" if change.shown == "worse" else shown


def _format_bounds(interval: tuple[float, float] | None) -> str:
    return f" [{format_fixed(interval[0], 1)}, {format_fixed(interval[1], 1)}]" if interval else ""


def _format_teacher_drops(change: MetricChange) -> str:
    if change.old_drop is None or change.new_drop is None:
        return MISSING
    before = f"{format_fixed(change.old_drop, 1)}{_format_bounds(change.old_drop_interval)}"
    return f"{before} → {format_fixed(change.new_drop, 1)}{_format_bounds(change.new_drop_interval)}"


def _format_moved_drop(change: SliceChange) -> str:
    """The drop, in bold only by the corrected test: one of many slices exceeds its interval by chance."""
    drop = f"{format_fixed(change.drop_points, 1)}{_format_bounds(change.interval)}"
    return f"**{drop}**" if _is_shown_worse(change) else drop


def _describe_slice_change(change: SliceChange) -> str:
    if change.p_holm is None:
        return "not tested"
    return _WORDS["worse"] if _is_shown_worse(change) else "no loss shown"


def _is_shown_worse(change: SliceChange) -> bool:
    return change.p_holm is not None and change.p_holm <= ALPHA


def _format_slice_drops(change: SliceChange) -> str:
    if change.old_drop is None or change.new_drop is None:
        return MISSING
    return f"{format_fixed(change.old_drop, 1)} → {format_fixed(change.new_drop, 1)}"


def _is_worth_telling(change: SliceChange) -> bool:
    if _is_shown_worse(change):
        return True
    return change.rows >= FEW_ROWS and abs(change.drop_points or 0.0) >= _SLICE_POINTS


def make_measurement_change_table(comparison: Comparison) -> str:
    """The figures of measurements in both releases; empty text if there are none."""
    measured = [(model, change) for model in comparison.variants for change in model.measurements]
    columns = [
        Column("model", [_name_model(comparison, model) for model, _ in measured]),
        Column("measurement", [escape(change.name) for _, change in measured]),
        Column(
            "old → new",
            [
                f"{format_significant(change.old_value)} → {format_significant(change.new_value)}"
                for _, change in measured
            ],
            right=True,
        ),
        Column("unit", [escape(change.unit) for _, change in measured]),
        Column(
            f"old / its {comparison.original}'s",
            [format_with_bounds(change.old_ratio, change.old_interval) for _, change in measured],
            right=True,
        ),
        Column(
            f"new / its {comparison.original}'s",
            [format_with_bounds(change.new_ratio, change.new_interval) for _, change in measured],
            right=True,
        ),
        Column("change", [_format_change(comparison, change) for _, change in measured]),
    ]
    return make_pipe_table(remove_empty_columns(columns)) if measured else ""


def _format_change(comparison: Comparison, change: LatencyChange | MeasurementChange) -> str:
    if not comparison.same_machine:
        return "another machine"
    if change.change in ("slower", "larger"):
        return f"**{change.change}**"
    return change.change or MISSING


def format_release_comparison(comparison: Comparison) -> str:
    """The whole text."""
    slices = format_moved_slices(comparison)
    return (
        blocks(
            f"# {escape(comparison.old.name)} → {escape(comparison.new.name)}",
            format_weaker_gate(comparison.weaker, escape(comparison.old.name)),
            _HOW_TO_ACCEPT if any(change.reason is None for change in comparison.weaker) else "",
            _format_comparison_head(comparison),
            add_heading("Before you trust this:", format_bullets(map(escape, comparison.notes))),
            add_heading("## Verdicts that changed", format_verdict_changes(comparison)),
            add_heading("## Budgets that changed", format_budget_changes(comparison)),
            add_heading(
                f"## {comparison.other.capitalize()}s that are new, gone or the same",
                _list_variants(comparison),
            ),
            add_heading(f"## The {comparison.original}", _format_original(comparison)),
            add_heading(
                f"## The {comparison.other}s", make_metric_change_table(comparison, comparison.variants)
            ),
            add_heading("### Slices", blocks(slices, _HOW_P_VALUES) if slices else ""),
            add_heading("### Size", make_size_change_table(comparison)),
            add_heading("### Latency", make_latency_change_table(comparison)),
            add_heading("### Measurements", make_measurement_change_table(comparison)),
            format_separation(
                comparison.separation, _SEPARATION_HEADING, first_builds=comparison.first_builds
            ),
            _HOW,
            _HOW_LOG_SLICES
            if any(change.of_log_slice for model in comparison.variants for change in model.metrics)
            else "",
        )
        + "\n"
    )


def _format_comparison_head(comparison: Comparison) -> str:
    """`**FAIL**, was PASS · 2 budgets held and do not now · …`, and when both ran."""
    old, new = comparison.old, comparison.new
    status = f"**{new.status}**" + ("" if old.status == new.status else f", was {old.status}")
    parts = [status, *_list_budget_counts(comparison)]
    reasons = [f"Accepted with the reason: {escape(new.reason)}"] if new.reason else []
    suite = [] if new.suite is None else [f"Suite {escape(new.suite)}"]
    origin = [*suite, f"{escape(old.created)} → {escape(new.created)}"]
    return blocks(" · ".join(parts), *reasons, " · ".join(origin))


def _list_budget_counts(comparison: Comparison) -> Iterator[str]:
    loosened, unexplained = len(comparison.loosened), len(comparison.unexplained)
    passed = [verdict for verdict in comparison.regressed if verdict.before is Verdict.PASS]
    unmeasured = sum(verdict.after in (None, "not measured") for verdict in passed)
    warned = sum(
        (verdict.before, verdict.after, verdict.regressed) == (Verdict.PASS, Verdict.INCONCLUSIVE, False)
        for verdict in comparison.verdicts
    )
    if stopped := len(passed) - unmeasured:
        yield f"{format_count(stopped, 'budget held and does', 'budgets held and do')} not hold now"
    elif not (unmeasured or warned):
        yield "no budget that held has stopped holding"
    if warned:
        were = format_count(warned, "budget held and is", "budgets held and are")
        yield f"{were} undecided now (a warning, or a stricter limit)"
    if unmeasured:
        yield f"{format_count(unmeasured, 'budget that held was', 'budgets that held were')} not measured"
    if undecided := len(comparison.regressed) - len(passed):
        words = "budget was undecided and fails", "budgets were undecided and fail"
        yield f"{format_count(undecided, *words)} now"
    if comparison.fell:
        yield f"{format_count(_count_distinct(comparison.fell), 'metric', 'metrics')} got worse"
    if gone := len(comparison.gates_gone):
        yield f"{format_int(gone)} gated {comparison.other}{' is' if gone == 1 else 's are'} gone"
    if loosened:
        without = f", {format_int(unexplained)} of them without a reason" if unexplained else ""
        yield f"{format_count(loosened, 'budget', 'budgets')} got looser{without}"


def _count_distinct(changes: Sequence[tuple[str, MetricChange]]) -> int:
    """How many metrics moved. Metrics of a model with equal figures and tests have the same scores."""
    return len(
        {
            (model, change.model_dump_json(exclude={"metric"}) if change.interval else change.metric)
            for model, change in changes
        }
    )


def _list_variants(comparison: Comparison) -> str:
    lines = []
    if comparison.added:
        lines.append(f"New {comparison.other}s: {', '.join(map(escape, comparison.added))}.")
    if comparison.removed:
        lines.append(f"Removed {comparison.other}s: {', '.join(map(escape, comparison.removed))}.")
    same = [model.name for model in comparison.variants if model.same_artifact]
    if same:
        lines.append(f"The same files, byte by byte: {', '.join(map(escape, same))}.")
    return format_bullets(lines)


def _format_original(comparison: Comparison) -> str:
    """The section on the model that all others are compared with."""
    model = comparison.teacher
    if model is None:
        return ""
    same = "Its files are the same, byte by byte." if model.same_artifact else ""
    return blocks(same, make_metric_change_table(comparison, [model]))
