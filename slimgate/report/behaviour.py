"""How each variant's answers differ from the teacher's: flips, slices, gaps, rows, confidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from slimgate._system.escape import escape
from slimgate._system.number_text import (
    MISSING,
    format_apart,
    format_fixed,
    format_int,
    format_percent,
    format_significant,
)
from slimgate.judge.budget_tables import FlipsBudget
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import Sides
from slimgate.report.confusions import (
    format_worst_confusions,
    make_calibration_tables,
    make_confusion_tables,
    make_tradeoff_tables,
)
from slimgate.report.figures import add_note, format_drop
from slimgate.report.status import list_variants
from slimgate.report.tables import Column, add_heading, blocks, fold, make_pipe_table, remove_empty_columns
from slimgate.report.task_figures import make_figures_table, make_kl_tables
from slimgate.results.base import Verdict
from slimgate.results.behaviour import BehaviourFacts, Flips, QuotedRow, SliceFacts, SliceGapFacts

# The most slices in the table of one variant, apart from those that fail; run.json has all.
_MOST_SLICES = 8
# The most slices and rows in report.md, for each variant and in all; report.html has them by variant.
_SLICES_EACH, _SLICES_IN_ALL = 2, 20
_ROWS_EACH, _ROWS_IN_ALL = 3, 15
# The most slices in a table with a column for each; run.json has all.
_MOST_COLUMNS = 12
# The most characters of a text in a cell, and of a slice's value in the head of a column.
_LONGEST, _LONGEST_IN_HEAD = 60, 40

VariantBehaviour = tuple[VariantRecord, BehaviourFacts]
_ABOUT_GAPS = """\
A gap is the largest minus the smallest value over the slices of a column, in points, without slices of few
rows. It is above 0 by chance too, in the teacher as in a variant; look at how far it moved."""


def format_behaviour(record: RunRecord) -> str:
    """The whole section; empty if no behaviour was measured."""
    behaviours, sides = _find_behaviour(record), record.task.sides
    return add_heading(
        "## Behaviour",
        blocks(
            add_heading("### Answers that changed", _make_changes_table(behaviours, sides)),
            add_heading("### KL to the teacher, token by token", make_kl_tables(record)),
            add_heading("### Quality, and figures of this task alone", make_figures_table(record)),
            add_heading("### Slices, the largest drop first", blocks(*map(_make_slice_tables, behaviours))),
            add_heading("### Slices of teacher and variants", format_slice_tables(behaviours)),
            add_heading(
                "### Rows from right to wrong",
                blocks(*(_fold_lost_rows(*pair, sides) for pair in behaviours)),
            ),
            add_heading(
                "### Rows from wrong to right", blocks(*(_fold_won_rows(*pair, sides) for pair in behaviours))
            ),
            add_heading(
                "### Rows with another answer",
                blocks(*(_fold_changed_rows(*pair, sides) for pair in behaviours)),
            ),
            add_heading("### Calibration", make_calibration_tables(behaviours)),
            add_heading(
                "### Precision and recall at thresholds", make_tradeoff_tables(behaviours, record.task)
            ),
            add_heading("### Confusion", make_confusion_tables(behaviours, record.task.classes)),
        ),
    )


def format_changed_answers(record: RunRecord) -> str:
    """A line for each variant: flips, agreement and calibration; empty if no behaviour was measured."""
    return _make_changes_table(_find_behaviour(record), record.task.sides)


def format_worst_slices(record: RunRecord) -> tuple[str, str]:
    """How many of the slices that lost are shown, and their table.

    It has up to 20 slices: those that fail, and the worst of each variant.
    """
    by_drop = [
        (
            model,
            sorted(
                [part for part in facts.slices or [] if part.drop_points > 0],
                key=lambda part: -part.drop_points,
            ),
        )
        for model, facts in _find_behaviour(record)
    ]
    candidates = [
        (part.worst is not Verdict.FAIL, place, number)
        for number, (_, lost) in enumerate(by_drop)
        for place, part in enumerate(lost)
        if place < _SLICES_EACH or part.worst is Verdict.FAIL
    ]
    # Those that fail have priority, the worst of each variant first. The table is by variant.
    chosen = sorted((number, place) for _, place, number in sorted(candidates)[:_SLICES_IN_ALL])
    shown = [(by_drop[number][0], by_drop[number][1][place]) for number, place in chosen]
    columns = [
        Column("variant", [escape(model.name) for model, _ in shown]),
        Column("slice", [_format_slice_name(part) for _, part in shown]),
        Column("metric", [escape(part.metric) for _, part in shown]),
        Column("rows", [_format_slice_rows(part) for _, part in shown], right=True),
        Column("teacher", [format_fixed(part.teacher, 3) for _, part in shown], right=True),
        Column("value", [format_fixed(part.variant, 3) for _, part in shown], right=True),
        Column(
            "drop, points", [format_drop(part.drop_points, part.interval) for _, part in shown], right=True
        ),
        Column("verdict", [_format_slice_verdict(part) for _, part in shown]),
    ]
    return (
        f"{format_int(len(shown))} of {format_int(sum(len(lost) for _, lost in by_drop))}",
        make_pipe_table(remove_empty_columns(columns)),
    )


def format_worst_mistakes(record: RunRecord) -> tuple[str, str]:
    """How many of the confusions that grew are shown, and a table with the worst of each variant."""
    return format_worst_confusions(_find_behaviour(record), record.task.classes)


def format_lost_rows(record: RunRecord) -> str:
    """Some rows of each variant that turned from right to wrong, in one table."""
    return _make_quoted_table(record, lambda flips: flips.quoted)


def format_won_rows(record: RunRecord) -> str:
    """Some rows of each variant that turned from wrong to right, if a budget limits a gain too."""
    return _make_quoted_table(record, lambda flips: flips.quoted_better)


def _make_quoted_table(record: RunRecord, choose: Callable[[Flips], Sequence[QuotedRow]]) -> str:
    """A table of some quoted rows of each variant, those of gated variants first."""
    gated_first = sorted(_find_behaviour(record), key=lambda pair: not pair[0].gated)
    quoted = [
        (model, row)
        for model, facts in gated_first
        for row in (choose(facts.flips) if facts.flips else [])[:_ROWS_EACH]
    ][:_ROWS_IN_ALL]
    sides = record.task.sides
    columns = [
        Column(sides.other, [escape(model.name) for model, _ in quoted]),
        *_make_row_columns([row for _, row in quoted], sides, "its answer"),
    ]
    return make_pipe_table(remove_empty_columns(columns))


def _find_behaviour(record: RunRecord) -> list[VariantBehaviour]:
    return [(model, model.behaviour) for model in list_variants(record) if model.behaviour is not None]


def _make_changes_table(behaviours: list[VariantBehaviour], sides: Sides) -> str:
    def column(head: str, cell: Callable[[BehaviourFacts], str]) -> Column:
        return Column(head, [cell(facts) for _, facts in behaviours], right=True)

    columns = [
        column("right to wrong", _format_flip_share),
        column(
            "wrong to right", lambda facts: format_int(facts.flips.wrong_to_right if facts.flips else None)
        ),
        column("changed", lambda facts: format_int(facts.flips.changed if facts.flips else None)),
        column(f"agree with {sides.original}", lambda facts: format_percent(facts.agreement)),
        column("KL to teacher, nats", lambda facts: format_significant(facts.kl_to_teacher)),
        column("calibration error", lambda facts: _format_with_teacher(facts.ece, facts.ece_teacher)),
        column("Brier", lambda facts: _format_with_teacher(facts.brier, facts.brier_teacher)),
    ]
    known = remove_empty_columns(columns)
    if not known:
        return ""
    return make_pipe_table([Column(sides.other, [escape(model.name) for model, _ in behaviours]), *known])


def _format_flip_share(facts: BehaviourFacts) -> str:
    """`171 (2.9 % [2.5, 3.2])`: one decimal, and more if one would round a number to its budget."""
    flips = facts.flips
    if flips is None:
        return MISSING
    if flips.percent is None or flips.interval is None:
        return format_int(flips.right_to_wrong)
    limits = [budget.limit for budget in facts.budgets if budget.kind == FlipsBudget.kind]
    value, low, high = format_apart((flips.percent, *flips.interval), limits)
    return add_note(format_int(flips.right_to_wrong), f"{value} % [{low}, {high}]")


def _format_with_teacher(value: float | None, teacher: float | None) -> str:
    shown = format_fixed(value, 3)
    return (
        shown if value is None or teacher is None else add_note(shown, f"teacher {format_fixed(teacher, 3)}")
    )


def _make_slice_tables(model_behaviour: VariantBehaviour) -> str:
    """A table for each metric that was sliced."""
    model, facts = model_behaviour
    slices = facts.slices or []
    metrics = dict.fromkeys(part.metric for part in slices)
    gaps = facts.slice_gaps or []
    return blocks(
        *(
            _format_slice_table(
                model,
                [part for part in slices if part.metric == name],
                format_gap_line(model, [gap for gap in gaps if gap.metric == name]),
            )
            for name in metrics
        )
    )


def _format_slice_table(model: VariantRecord, slices: list[SliceFacts], gaps: str) -> str:
    metric = slices[0].metric
    lost = [part for part in slices if part.drop_points > 0]
    if not lost:
        none = f"**{escape(model.name)}**, {escape(metric)}: none of {format_int(len(slices))} slices lost."
        return f"{none} {gaps}".strip()
    shown = lost[:_MOST_SLICES] + [part for part in lost[_MOST_SLICES:] if part.worst is Verdict.FAIL]
    shown_words = f"the {format_int(len(lost))} of {format_int(len(slices))} slices that lost"
    if len(shown) < len(lost):
        shown_words = (
            f"{format_int(len(shown))} of the {format_int(len(lost))} slices that lost, "
            f"of {format_int(len(slices))} in all"
        )
    columns = [
        Column("slice", [_format_slice_name(part) for part in shown]),
        Column("rows", [_format_slice_rows(part) for part in shown], right=True),
        Column("teacher", [format_fixed(part.teacher, 3) for part in shown], right=True),
        Column(escape(model.name), [format_fixed(part.variant, 3) for part in shown], right=True),
        Column("drop, points", [format_drop(part.drop_points, part.interval) for part in shown], right=True),
        Column("p, Holm", [format_significant(part.p_holm, 2) for part in shown], right=True),
        Column("verdict", [_format_slice_verdict(part) for part in shown]),
    ]
    return fold(
        model.name, f", {metric}, {shown_words}", blocks(make_pipe_table(remove_empty_columns(columns)), gaps)
    )


def _format_slice_rows(part: SliceFacts) -> str:
    return add_note(format_int(part.n), "few" if part.few_rows else None)


def _format_slice_name(part: SliceFacts) -> str:
    return f"{escape(part.column)}: {escape(part.value, longest=_LONGEST)}"


def _format_slice_verdict(part: SliceFacts) -> str:
    if part.worst is None:
        return MISSING
    return f"**{part.worst}**" if part.worst is Verdict.FAIL else str(part.worst)


def _fold_lost_rows(model: VariantRecord, facts: BehaviourFacts, sides: Sides) -> str:
    """Rows that turned from right to wrong."""
    if facts.flips is None or not facts.flips.quoted:
        return ""
    rows, lost = facts.flips.quoted, facts.flips.right_to_wrong
    about = [
        *(["most confidently wrong first"] if has_confidence(rows) else []),
        *([f"{format_int(len(rows))} of {format_int(lost)}"] if len(rows) < lost else []),
    ]
    return fold(model.name, "".join(f", {words}" for words in about), _make_answers_table(model, rows, sides))


def has_confidence(rows: Sequence[QuotedRow]) -> bool:
    """Whether a row has the variant's confidence. Without any, the rows are in the order of the file."""
    return any(row.variant_confidence is not None for row in rows)


def _fold_won_rows(model: VariantRecord, facts: BehaviourFacts, sides: Sides) -> str:
    """Rows that turned from wrong to right, if a budget limits a gain too."""
    if facts.flips is None or not facts.flips.quoted_better:
        return ""
    rows = facts.flips.quoted_better
    about = (
        f", {format_int(len(rows))} of {format_int(facts.flips.wrong_to_right)} that its budget limits too"
    )
    return fold(model.name, about, _make_answers_table(model, rows, sides))


def _make_answers_table(model: VariantRecord, rows: Sequence[QuotedRow], sides: Sides) -> str:
    return make_pipe_table(remove_empty_columns(_make_row_columns(rows, sides, escape(model.name))))


def _fold_changed_rows(model: VariantRecord, facts: BehaviourFacts, sides: Sides) -> str:
    """The answers of both models on rows that are neither right nor wrong."""
    rows = facts.changed_answers
    if not rows:
        return ""
    return fold(model.name, f", {format_int(len(rows))} of them", _make_answers_table(model, rows, sides))


def _make_row_columns(rows: Sequence[QuotedRow], sides: Sides, variant_head: str) -> list[Column]:
    """Row, label, the answers of both models, and the text. variant_head: of the variant's answers."""
    labels = [MISSING if row.label is None else escape(row.label, longest=_LONGEST) for row in rows]
    return [
        Column("row", [escape(row.id, longest=_LONGEST) for row in rows]),
        Column("label", labels),
        Column(sides.original, [_format_answer(row.teacher, row.teacher_confidence) for row in rows]),
        Column(variant_head, [_format_answer(row.variant, row.variant_confidence) for row in rows]),
        Column("text", [(MISSING if row.text is None else escape(row.text)) for row in rows]),
    ]


def _format_answer(name: str | None, confidence: float | None) -> str:
    if name is None:
        return MISSING
    shown = escape(name, longest=_LONGEST)
    return shown if confidence is None else add_note(shown, format_fixed(confidence, 2))


def format_gap_line(model: VariantRecord, gaps: Sequence[SliceGapFacts]) -> str:
    """A text such as `Gap between slices of length_bucket: teacher 12.3 points, int8 15.1.`."""
    return " ".join(
        f"Gap between slices of {escape(gap.column)}: teacher {format_fixed(gap.teacher_points, 1)} points, "
        f"{escape(model.name)} {format_fixed(gap.variant_points, 1)}{_format_left_out(gap)}."
        for gap in gaps
    )


def _format_left_out(gap: SliceGapFacts) -> str:
    return f" ({format_int(gap.few_rows)} of few rows left out)" if gap.few_rows else ""


def format_slice_tables(behaviours: Sequence[VariantBehaviour]) -> str:
    """A table for each metric and column of up to 12 slices: a line for each model, the teacher's first."""
    tables = [
        _make_column_table(behaviours, metric, column) for metric, column in _list_gap_columns(behaviours)
    ]
    shown = [text for text in tables if text]
    return blocks(_ABOUT_GAPS, *shown) if shown else ""


def _list_gap_columns(behaviours: Sequence[VariantBehaviour]) -> list[tuple[str, str]]:
    """Metrics and columns that have a gap, in the order of the records."""
    pairs = [(gap.metric, gap.column) for _, facts in behaviours for gap in facts.slice_gaps or []]
    return list(dict.fromkeys(pairs))


def _make_column_table(behaviours: Sequence[VariantBehaviour], metric: str, column: str) -> str:
    """The table of one metric and column; empty if it has too many slices."""
    sliced = [
        (model, parts)
        for model, facts in behaviours
        if (parts := _select_column_slices(facts, metric, column))
    ]
    first = sliced[0][1]
    if len(first) > _MOST_COLUMNS:
        return ""
    names = sorted(first, key=_make_natural_key)
    gaps = {
        model.name: gap
        for model, facts in behaviours
        for gap in facts.slice_gaps or []
        if (gap.metric, gap.column) == (metric, column)
    }
    teacher_gap = next(iter(gaps.values())).teacher_points
    gap_cells = [format_fixed(teacher_gap, 1), *(_format_gap(gaps.get(model.name)) for model, _ in sliced)]
    columns = [
        Column("model", ["teacher", *(escape(model.name) for model, _ in sliced)]),
        *(_make_slice_column(name, [parts for _, parts in sliced]) for name in names),
        Column("gap, points", gap_cells, right=True),
    ]
    return blocks(f"**{escape(column)}**, {escape(metric)}:", make_pipe_table(columns))


def _make_slice_column(name: str, slices: Sequence[Mapping[str, SliceFacts]]) -> Column:
    """The values of a slice: the teacher's, then those of the variants. slices: of each variant, by name."""
    cells = [format_fixed(parts[name].variant, 3) if name in parts else MISSING for parts in slices]
    teacher = format_fixed(slices[0][name].teacher, 3)
    return Column(_format_head(slices[0][name]), [teacher, *cells], right=True)


def _select_column_slices(facts: BehaviourFacts, metric: str, column: str) -> dict[str, SliceFacts]:
    """The slices by the value that their rows have in the column."""
    return {part.value: part for part in facts.slices or [] if (part.metric, part.column) == (metric, column)}


def _format_head(part: SliceFacts) -> str:
    rows = f"{format_int(part.n)} rows" + (", few" if part.few_rows else "")
    return add_note(escape(part.value, longest=_LONGEST_IN_HEAD), rows)


def _format_gap(gap: SliceGapFacts | None) -> str:
    """A text such as `15.1 (+2.8)`."""
    if gap is None:
        return MISSING
    return add_note(format_fixed(gap.variant_points, 1), f"{gap.variant_points - gap.teacher_points:+z.1f}")


def _make_natural_key(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that puts `5 to 9 words` before `10 to 17 words`."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"(\d+)", name)
    ]
