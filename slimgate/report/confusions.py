"""Confusion before, after and the difference: whole for few classes, else where it changed most."""

from __future__ import annotations

from collections.abc import Sequence

from slimgate._system.escape import escaped
from slimgate.record import BehaviourFacts, VariantRecord
from slimgate.report.figures import count
from slimgate.report.tables import Column, blocks, table

# A larger matrix is no longer read; what changed in it is.
MOST_CLASSES = 8
_MOST_PAIRS = 10
_LONGEST = 60

Found = tuple[VariantRecord, BehaviourFacts]
Cell = tuple[int, int, int, int]


def confusion_tables(found: Sequence[Found], classes: Sequence[str]) -> str:
    """The teacher's matrix and each variant's with the difference, or the pairs that changed most."""
    known = [(model, cells) for model, facts in found if (cells := cells_of(facts))]
    if not known:
        return ""
    names = [escaped(name, longest=_LONGEST) for name in classes]
    if len(names) > MOST_CLASSES:
        return blocks(*(_changes(model, cells, names) for model, cells in known))
    told = "Rows by label (down) and prediction (across); of variants with the difference to the teacher."
    before = _matrix("teacher", [(a, b, rows, rows) for a, b, rows, _ in known[0][1]], names)
    moved = [(model, cells) for model, cells in known if moved_of(cells)]
    same = [escaped(model.name) for model, cells in known if not moved_of(cells)]
    unmoved = f"As the teacher's in every cell: {', '.join(same)}." if same else ""
    return blocks(
        told, before, *(_matrix(escaped(model.name), cells, names) for model, cells in moved), unmoved
    )


def cells_of(facts: BehaviourFacts) -> list[Cell]:
    """(label, prediction, rows of the teacher, rows of the variant) of the cells that are not empty."""
    if facts.confusion_cells is not None:
        return facts.confusion_cells
    return [
        (label, prediction, before, after)
        for label, rows in enumerate(zip(facts.confusion_teacher or [], facts.confusion or [], strict=False))
        for prediction, (before, after) in enumerate(zip(*rows, strict=True))
        if before or after
    ]


def moved_of(cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell[2] != cell[3]]


def _matrix(head: str, cells: Sequence[Cell], names: Sequence[str]) -> str:
    shown = {(label, prediction): _change(before, after) for label, prediction, before, after in cells}
    columns = [
        Column(name, [shown.get((label, k), "0") for label in range(len(names))], right=True)
        for k, name in enumerate(names)
    ]
    return table([Column(f"{head}, label", names), *columns])


def _change(before: int, after: int) -> str:
    return count(after) if before == after else f"{count(after)} ({after - before:+,})"


def _changes(model: VariantRecord, cells: Sequence[Cell], names: Sequence[str]) -> str:
    """The pairs whose count moved furthest: mistakes that are new or gone, right answers lost or won."""
    moved = moved_of(cells)
    if not moved:
        return f"**{escaped(model.name)}**: every pair of label and prediction has as many rows as before."
    most = sorted(moved, key=lambda cell: (-abs(cell[3] - cell[2]), cell[:2]))[:_MOST_PAIRS]
    columns = [
        Column("label", [names[cell[0]] for cell in most]),
        Column("prediction", ["(right)" if a == b else names[b] for a, b, _, _ in most]),
        Column("teacher", [count(cell[2]) for cell in most], right=True),
        Column(escaped(model.name), [count(cell[3]) for cell in most], right=True),
        Column("difference", [f"{cell[3] - cell[2]:+,}" for cell in most], right=True),
    ]
    which = f"{count(len(most))} of the {count(len(moved))} pairs whose count changed"
    return blocks(f"**{escaped(model.name)}**, {which}, most first:", table(columns))
