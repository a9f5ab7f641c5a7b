"""The diagrams of a model and its teacher: confusion, reliability, precision against recall.

The confusion is a table whose cells are tinted by their change. The other diagrams are places in a square of
100 by 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from slimgate._system.number_text import MISSING, format_fixed, format_int, format_percent
from slimgate.data.quoting import shorten
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.confusions import MOST_CLASSES, Cell, list_matrix_cells, select_changed_cells
from slimgate.results.behaviour import ReliabilityFacts, TradeoffFacts

_LONGEST_NAME = 40
_MOST_PAIRS = 12


@dataclass(frozen=True)
class ConfusionCell:
    """A cell to draw. change: in words, empty if none. tone: `better by-2`, `worse by-3`, or empty."""

    rows: str
    change: str
    tone: str


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix to draw.

    lines: (label, cells) of a whole matrix; pairs: (label, prediction, teacher, cell) of a large one.
    """

    names: Sequence[str]
    lines: Sequence[tuple[str, Sequence[ConfusionCell]]]
    pairs: Sequence[tuple[str, str, str, ConfusionCell]]
    moved: int


def make_confusion(record: RunRecord, model: VariantRecord) -> Confusion | None:
    """The confusion of a model; None if nothing changed, or no matrix was counted."""
    cells = [] if model.behaviour is None else list_matrix_cells(model.behaviour)
    moved = select_changed_cells(cells)
    if not moved:
        return None
    names = [shorten(name, _LONGEST_NAME) for name in record.task.classes]
    largest = max(abs(cell.change) for cell in moved)
    drawn = {(cell.label, cell.prediction): _make_confusion_cell(cell, largest) for cell in cells}
    if len(names) <= MOST_CLASSES:
        empty = ConfusionCell("0", "", "")
        lines = [
            (name, [drawn.get((label, prediction), empty) for prediction in range(len(names))])
            for label, name in enumerate(names)
        ]
        return Confusion(names, lines, [], len(moved))
    worst = sorted(moved, key=lambda cell: (-abs(cell.change), cell))[:_MOST_PAIRS]
    pairs = [
        (
            names[cell.label],
            "(right)" if cell.label == cell.prediction else names[cell.prediction],
            format_int(cell.before),
            drawn[cell.label, cell.prediction],
        )
        for cell in worst
    ]
    return Confusion(names, [], pairs, len(moved))


def _make_confusion_cell(cell: Cell, largest: int) -> ConfusionCell:
    """largest: the largest change of a cell."""
    if not cell.change:
        return ConfusionCell(format_int(cell.after), "", "")
    strength = 1 + min(2, int(3 * abs(cell.change) / largest))
    tone = "better" if (cell.change > 0) == (cell.label == cell.prediction) else "worse"
    return ConfusionCell(format_int(cell.after), f"{cell.change:+,}", f"{tone} by-{strength}")


@dataclass(frozen=True)
class Bin:
    """(x, y): confidence and accuracy, y from the top; size: radius, its area by the rows; label: text."""

    x: float
    y: float
    size: float
    label: str


@dataclass(frozen=True)
class Reliability:
    """Bins that hold rows, of the model and of its teacher; rows: the same as a table."""

    variant: Sequence[Bin]
    teacher: Sequence[Bin]
    rows: Sequence[tuple[str, str, str, str]]


def make_reliability(model: VariantRecord) -> Reliability | None:
    """The reliability of a model; None if no confidences are known."""
    behaviour = model.behaviour
    if behaviour is None or not behaviour.reliability:
        return None
    before = behaviour.reliability_teacher or []
    return Reliability(
        _make_bins(behaviour.reliability),
        _make_bins(before),
        [
            (
                f"{format_fixed(bin_facts.low, 2)} to {format_fixed(bin_facts.high, 2)}",
                *_format_bin_cells(bin_facts),
                _format_bin_cells(old)[1] if old else MISSING,
            )
            for bin_facts, old in zip(
                behaviour.reliability, [*before, *[None] * len(behaviour.reliability)], strict=False
            )
            if bin_facts.count
        ],
    )


def _make_bins(bins: Sequence[ReliabilityFacts]) -> list[Bin]:
    total = sum(bin_facts.count for bin_facts in bins) or 1
    return [
        Bin(
            round(100 * bin_facts.confidence, 1),
            round(100 - 100 * bin_facts.accuracy, 1),
            round(1.2 + 5 * (bin_facts.count / total) ** 0.5, 2),
            f"confidence {format_fixed(bin_facts.confidence, 2)}, "
            f"accuracy {format_fixed(bin_facts.accuracy, 2)}, "
            f"{format_int(bin_facts.count)} rows",
        )
        for bin_facts in bins
        if bin_facts.count and bin_facts.confidence is not None and bin_facts.accuracy is not None
    ]


def _format_bin_cells(bin_facts: ReliabilityFacts) -> tuple[str, str]:
    return format_int(bin_facts.count), format_percent(bin_facts.accuracy)


@dataclass(frozen=True)
class Spot:
    """A threshold: its place, with y from the top, and its words."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A curve to draw.

    low: the values at the left and at the bottom; the other ends are 1. rows: the same as a table.
    """

    low: str
    variant: Sequence[Spot]
    teacher: Sequence[Spot]
    rows: Sequence[tuple[str, ...]]

    @property
    def path(self) -> str:
        """The model's line."""
        return "M" + "L".join(f"{spot.x} {spot.y}" for spot in self.variant)


def make_tradeoff_curve(model: VariantRecord) -> Curve | None:
    """The curve of a model; None if no confidences are known, or for a single threshold."""
    behaviour = model.behaviour
    if behaviour is None or not behaviour.tradeoff:
        return None
    before = behaviour.tradeoff_teacher or []
    values = [value for point in (*behaviour.tradeoff, *before) for value in _list_coordinates(point)]
    if len(behaviour.tradeoff) < 2 or not values:
        return None
    low = min(0.9, floor(10 * min(values)) / 10)
    return Curve(
        f"{low:g}",
        _make_spots(behaviour.tradeoff, low),
        _make_spots(before, low),
        [
            (
                format_fixed(point.threshold, 1),
                format_fixed(point.precision, 3),
                format_fixed(point.recall, 3),
                format_percent(point.coverage, 0),
                *_format_teacher_cells(before, place),
            )
            for place, point in enumerate(behaviour.tradeoff)
        ],
    )


def _list_coordinates(point: TradeoffFacts) -> tuple[float, ...]:
    return () if point.precision is None or point.recall is None else (point.precision, point.recall)


def _make_spots(points: Sequence[TradeoffFacts], low: float) -> list[Spot]:
    return [
        Spot(
            round(100 * (point.recall - low) / (1 - low), 1),
            round(100 - 100 * (point.precision - low) / (1 - low), 1),
            f"threshold {format_fixed(point.threshold, 1)}: "
            f"precision {format_fixed(point.precision, 3)}, recall {format_fixed(point.recall, 3)}",
        )
        for point in points
        if point.precision is not None and point.recall is not None
    ]


def _format_teacher_cells(before: Sequence[TradeoffFacts], place: int) -> tuple[str, str]:
    if place >= len(before):
        return MISSING, MISSING
    return format_fixed(before[place].precision, 3), format_fixed(before[place].recall, 3)
