"""Confusion before and what moved in it, and precision against recall, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from slimgate.record import RunRecord, TradeoffFacts
from slimgate.report.confusions import MOST_CLASSES, cells_of, changed_cells, tradeoffs
from slimgate.report.pictures import COLOURS, picture
from slimgate.report.status import TEACHER, variants

# More panels, or more lines in one plot, are not told apart.
_MOST_PANELS, _ACROSS = 12, 4
CONFUSION, TRADEOFF = "confusion", "precision-recall"
_MOST_LINES = 9
_LARGEST = 30
_SIDE = 2.6


def draw_behaviour(record: RunRecord, folder: Path) -> list[Path]:
    """Writes confusion.svg and precision-recall.svg, of what the record has. Needs matplotlib."""
    pictures = [_draw_confusion(record, folder), _draw_tradeoff(record, folder)]
    return [path for path in pictures if path is not None]


def _draw_confusion(record: RunRecord, folder: Path) -> Path | None:
    """The teacher's rows by label and prediction, then how many more or fewer each variant has."""
    known = [
        (model.name, cells)
        for model in variants(record)
        if model.behaviour is not None and (cells := cells_of(model.behaviour))
    ]
    moved = [panel for panel in known if changed_cells(panel[1])][: _MOST_PANELS - 1]
    names = record.task.classes
    if not moved or not 2 <= len(names) <= _LARGEST:
        return None
    across = min(_ACROSS, len(moved) + 1)
    down = ceil((len(moved) + 1) / across)
    path = folder / f"{CONFUSION}.svg"
    with picture(path, (across * _SIDE + 0.4, down * _SIDE)) as figure:
        plots = figure.subplots(down, across, squeeze=False).flatten()
        _panel(plots[0], "teacher, rows", [cell[:3] for cell in known[0][1]], names)
        largest = max(abs(after - before) for _, cells in moved for _, _, before, after in cells)
        for axes, (name, cells) in zip(plots[1:], moved, strict=False):
            changes = [(label, prediction, after - before) for label, prediction, before, after in cells]
            _panel(axes, f"{name} − teacher", changes, names, largest)
        for place, axes in enumerate(plots):
            axes.set_axis_off() if place > len(moved) else _labels(axes, names, left=place % across == 0)
        figure.supxlabel("prediction", fontsize=8)
        figure.supylabel("label", fontsize=8)
    return path


def _panel(
    axes: Any, title: str, cells: Sequence[tuple[int, int, int]], names: Sequence[str], change: int = 0
) -> None:
    """change: the largest of all panels, so that their colours compare; purple is more rows, orange fewer."""
    grid = [[0] * len(names) for _ in names]
    for label, prediction, rows in cells:
        grid[label][prediction] = rows
    largest = change or max(value for line in grid for value in line)
    low, colours = (-largest, "PuOr") if change else (0, "Greys")
    axes.imshow(grid, cmap=colours, vmin=low, vmax=largest)
    axes.set_title(title, fontsize=8)
    if len(names) > MOST_CLASSES:
        return
    for label, line in enumerate(grid):
        for prediction, rows in enumerate(line):
            text = f"{rows:+,}" if change and rows else f"{rows:,}"
            colour = "white" if abs(rows) > 0.6 * largest else "black"
            axes.text(prediction, label, text, ha="center", va="center", fontsize=6, color=colour)


def _labels(axes: Any, names: Sequence[str], *, left: bool) -> None:
    shown = [name if len(name) <= 16 else f"{name[:15]}…" for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=6)
    axes.set_yticks(range(len(names)), shown if left else [""] * len(names), fontsize=6)


def _draw_tradeoff(record: RunRecord, folder: Path) -> Path | None:
    """A line a model through the thresholds; the teacher's is black."""
    behaviours = [(model, model.behaviour) for model in variants(record) if model.behaviour is not None]
    lines = [
        (name, shown)
        for name, points in tradeoffs(behaviours)
        if len(
            shown := [point for point in points if point.precision is not None and point.recall is not None]
        )
        > 1
    ][: _MOST_LINES + 1]
    if not lines:
        return None
    path = folder / f"{TRADEOFF}.svg"
    with picture(path, (8.0, 4.5)) as figure:
        axes = figure.add_subplot()
        for place, (name, shown) in enumerate(lines):
            _line(axes, name, shown, place)
        axes.set(xlabel="recall", ylabel="precision", title="Precision and recall at thresholds 0.1 to 0.9")
        axes.grid(alpha=0.25)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return path


def _line(axes: Any, name: str, points: Sequence[TradeoffFacts], place: int) -> None:
    colour, marker = (
        ("black", "D") if name == TEACHER else (COLOURS[place % len(COLOURS)], "os^vPX*hp"[place % 9])
    )
    xs, ys = [point.recall for point in points], [point.precision for point in points]
    axes.plot(xs, ys, color=colour, marker=marker, markersize=4, linewidth=1, label=name)
