"""A model's confusion as a table whose cells are tinted by what moved in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimgate.data.quoting import shorten
from slimgate.record import RunRecord, VariantRecord
from slimgate.report.confusions import MOST_CLASSES, cells_of, changed_cells
from slimgate.report.figures import count

_LONGEST = 40
_MOST_PAIRS = 12


@dataclass(frozen=True)
class Moved:
    """Rows of a cell; change: in words, empty where none; tone: `better 2`, `worse 3`, or nothing."""

    rows: str
    change: str
    tone: str


@dataclass(frozen=True)
class Confusion:
    """lines: (label, cells) of a whole matrix; pairs: (label, prediction, teacher, cell) of a large one."""

    names: Sequence[str]
    lines: Sequence[tuple[str, Sequence[Moved]]]
    pairs: Sequence[tuple[str, str, str, Moved]]
    moved: int


def confusion(record: RunRecord, model: VariantRecord) -> Confusion | None:
    """None where nothing moved, or no matrix was counted."""
    cells = [] if model.behaviour is None else cells_of(model.behaviour)
    moved = changed_cells(cells)
    if not moved:
        return None
    names = [shorten(name, _LONGEST) for name in record.task.classes]
    largest = max(abs(after - before) for _, _, before, after in moved)
    moves = {(a, b): _format_move(a == b, before, after, largest) for a, b, before, after in cells}
    if len(names) <= MOST_CLASSES:
        empty = Moved("0", "", "")
        lines = [
            (name, [moves.get((a, b), empty) for b in range(len(names))]) for a, name in enumerate(names)
        ]
        return Confusion(names, lines, [], len(moved))
    worst = sorted(moved, key=lambda cell: (-abs(cell[3] - cell[2]), cell[:2]))[:_MOST_PAIRS]
    pairs = [
        (names[a], "(right)" if a == b else names[b], count(before), moves[a, b]) for a, b, before, _ in worst
    ]
    return Confusion(names, [], pairs, len(moved))


def _format_move(right: bool, before: int, after: int, largest: int) -> Moved:
    if before == after:
        return Moved(count(after), "", "")
    strength = 1 + min(2, int(3 * abs(after - before) / largest))
    tone = "better" if (after > before) == right else "worse"
    return Moved(count(after), f"{after - before:+,}", f"{tone} by-{strength}")
