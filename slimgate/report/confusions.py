"""The answers of classifiers: confusions, accuracy by confidence, precision and recall by threshold.

A confusion of few classes is shown whole, with the difference to the teacher. Of many classes, the largest
changes are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_fixed, format_int, format_percent
from slimgate.judge.metrics.classes import find_conventional_positive
from slimgate.record.run import VariantRecord
from slimgate.record.task import TaskFactsRecord
from slimgate.report.figures import add_note
from slimgate.report.tables import Column, blocks, make_pipe_table
from slimgate.results.behaviour import BehaviourFacts, ReliabilityFacts, TradeoffFacts

# A wider table has to be scrolled sideways on GitHub.
_MOST_MODELS = 6

T = TypeVar("T")
VariantBehaviour = tuple[VariantRecord, BehaviourFacts]
# A larger matrix is unreadable, so only its changes are shown.
MOST_CLASSES = 8
_MOST_PAIRS = 10
# The most confusions in report.md, for each variant and in all.
_MOST_OF_VARIANT, _MOST_OF_ALL = 3, 15
_LONGEST = 60


class Cell(NamedTuple):
    """The rows with a label and a prediction, of the teacher and of the variant."""

    label: int
    prediction: int
    before: int
    after: int

    @property
    def change(self) -> int:
        """How many more rows the variant has."""
        return self.after - self.before


def make_calibration_tables(behaviours: Sequence[VariantBehaviour]) -> str:
    """Reliability bins that hold rows of some model: the accuracy by how sure the models were."""
    models = _list_model_points(
        [(model.name, facts.reliability, facts.reliability_teacher) for model, facts in behaviours]
    )
    if not models:
        return ""
    models = [(escape(name), points) for name, points in models]
    bins = [k for k in range(len(models[0][1])) if any(points[k].count for _, points in models)]
    heads = [
        f"{format_fixed(models[0][1][k].low, 2)} to {format_fixed(models[0][1][k].high, 2)}" for k in bins
    ]
    columns = [
        Column(name, [_format_reliability(points[k]) for k in bins], right=True) for name, points in models
    ]
    note = "Accuracy (mean confidence, rows) of the answers by their confidence; equal where well calibrated."
    return blocks(note, *_split_wide(Column("confidence", heads), columns))


def make_tradeoff_tables(behaviours: Sequence[VariantBehaviour], task: TaskFactsRecord) -> str:
    """Precision, recall and coverage at each threshold."""
    models = [(escape(name), points) for name, points in list_tradeoffs(behaviours)]
    if not models:
        return ""
    heads = [format_fixed(point.threshold, 1) for point in models[0][1]]
    columns = [
        Column(
            name,
            [
                add_note(
                    f"{format_fixed(point.precision, 3)} / {format_fixed(point.recall, 3)}",
                    format_percent(point.coverage, 0),
                )
                for point in points
            ],
            right=True,
        )
        for name, points in models
    ]
    if len(task.classes) == 2:
        name = escape(_find_positive(task))
        basis = f"of {name}, answered where its probability reaches the threshold"
    else:
        basis = "over all classes, answered where the confidence reaches the threshold"
    note = f"Precision / recall (share of rows answered) {basis}."
    return blocks(note, *_split_wide(Column("threshold", heads, right=True), columns))


def _find_positive(task: TaskFactsRecord) -> str:
    """The one of two classes whose precision and recall TradeoffFacts has."""
    stated = (task.params or {}).get("positive")
    return stated or find_conventional_positive(task.classes) or task.classes[1]


def list_tradeoffs(behaviours: Sequence[VariantBehaviour]) -> list[tuple[str, list[TradeoffFacts]]]:
    """(name, points) of the teacher and of each variant that has points."""
    return _list_model_points(
        [(model.name, facts.tradeoff, facts.tradeoff_teacher) for model, facts in behaviours]
    )


def _list_model_points(
    points_by_model: Sequence[tuple[str, list[T] | None, list[T] | None]],
) -> list[tuple[str, list[T]]]:
    """(name, points) of the teacher, as the first variant has it, and of each variant that has points."""
    teacher = next((points for _, _, points in points_by_model if points), None)
    variant_points = [(name, points) for name, points, _ in points_by_model if points]
    return [*([("teacher", teacher)] if teacher else []), *variant_points]


def _split_wide(first: Column, columns: Sequence[Column]) -> list[str]:
    starts = range(0, len(columns), _MOST_MODELS)
    return [make_pipe_table([first, *columns[start : start + _MOST_MODELS]]) for start in starts]


def _format_reliability(bin_facts: ReliabilityFacts) -> str:
    if not bin_facts.count:
        return MISSING
    return add_note(
        format_fixed(bin_facts.accuracy, 2),
        f"{format_fixed(bin_facts.confidence, 2)}, {format_int(bin_facts.count)}",
    )


def make_confusion_tables(behaviours: Sequence[VariantBehaviour], classes: Sequence[str]) -> str:
    """The teacher's matrix and each variant's with the difference, or the pairs that changed most."""
    known = [(model, cells) for model, facts in behaviours if (cells := list_matrix_cells(facts))]
    if not known:
        return ""
    names = [escape(name, longest=_LONGEST) for name in classes]
    if len(names) > MOST_CLASSES:
        return blocks(*(_format_changed_pairs(model, cells, names) for model, cells in known))
    note = "Rows by label (down) and prediction (across); of variants with the difference to the teacher."
    before = _make_matrix_table("teacher", [cell._replace(after=cell.before) for cell in known[0][1]], names)
    moved = [(model, cells) for model, cells in known if select_changed_cells(cells)]
    same = [escape(model.name) for model, cells in known if not select_changed_cells(cells)]
    unmoved = f"As the teacher's in every cell: {', '.join(same)}." if same else ""
    return blocks(
        note,
        before,
        *(_make_matrix_table(escape(model.name), cells, names) for model, cells in moved),
        unmoved,
    )


def format_worst_confusions(
    behaviours: Sequence[VariantBehaviour], classes: Sequence[str]
) -> tuple[str, str]:
    """How many of the confusions that grew are shown, and a table with the worst of each variant."""
    names = [escape(name, longest=_LONGEST) for name in classes]
    grown = [
        (model, sorted(list_new_mistakes(facts, len(names)), key=lambda cell: -cell.change))
        for model, facts in behaviours
    ]
    shown = [(model, cell) for model, cells in grown for cell in cells[:_MOST_OF_VARIANT]][:_MOST_OF_ALL]
    columns = [
        Column("variant", [escape(model.name) for model, _ in shown]),
        Column("label", [names[cell.label] for _, cell in shown]),
        Column("answered", [names[cell.prediction] for _, cell in shown]),
        Column("rows, teacher", [format_int(cell.before) for _, cell in shown], right=True),
        Column("rows, variant", [format_int(cell.after) for _, cell in shown], right=True),
        Column("more", [f"{cell.change:+,}" for _, cell in shown], right=True),
    ]
    return (
        f"{format_int(len(shown))} of {format_int(sum(len(cells) for _, cells in grown))}",
        make_pipe_table(columns),
    )


def list_new_mistakes(facts: BehaviourFacts, classes: int) -> list[Cell]:
    """The wrong answers that the variant gives more often than the teacher.

    classes: how many labels have a name; an answer without a label has none.
    """
    return [
        cell
        for cell in list_matrix_cells(facts)
        if cell.label != cell.prediction and max(cell.label, cell.prediction) < classes and cell.change > 0
    ]


def list_matrix_cells(facts: BehaviourFacts) -> list[Cell]:
    """The cells that are not empty."""
    if facts.confusion_cells is not None:
        return [Cell(*cell) for cell in facts.confusion_cells]
    return [
        Cell(label, prediction, before, after)
        for label, rows in enumerate(zip(facts.confusion_teacher or [], facts.confusion or [], strict=False))
        for prediction, (before, after) in enumerate(zip(*rows, strict=True))
        if before or after
    ]


def select_changed_cells(cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell.change]


def _make_matrix_table(head: str, cells: Sequence[Cell], names: Sequence[str]) -> str:
    shown = {(cell.label, cell.prediction): _format_cell(cell) for cell in cells}
    columns = [
        Column(name, [shown.get((label, k), "0") for label in range(len(names))], right=True)
        for k, name in enumerate(names)
    ]
    return make_pipe_table([Column(f"{head}, label", names), *columns])


def _format_cell(cell: Cell) -> str:
    return format_int(cell.after) + (f" ({cell.change:+,})" if cell.change else "")


def _format_changed_pairs(model: VariantRecord, cells: Sequence[Cell], names: Sequence[str]) -> str:
    """The pairs whose count moved most: new or removed mistakes, right answers lost or won."""
    moved = select_changed_cells(cells)
    if not moved:
        return f"**{escape(model.name)}**: every pair of label and prediction has as many rows as before."
    largest = sorted(moved, key=lambda cell: (-abs(cell.change), cell))[:_MOST_PAIRS]
    columns = [
        Column("label", [names[cell.label] for cell in largest]),
        Column(
            "prediction",
            ["(right)" if cell.label == cell.prediction else names[cell.prediction] for cell in largest],
        ),
        Column("teacher", [format_int(cell.before) for cell in largest], right=True),
        Column(escape(model.name), [format_int(cell.after) for cell in largest], right=True),
        Column("difference", [f"{cell.change:+,}" for cell in largest], right=True),
    ]
    shown_words = f"{format_int(len(largest))} of the {format_int(len(moved))} pairs whose count changed"
    return blocks(f"**{escape(model.name)}**, {shown_words}, most first:", make_pipe_table(columns))
