"""Loss and quality per epoch as a picture: a small plot for each step that trained."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

from slimgate.record import RunRecord
from slimgate.report.epochs import LOSS, LOSS_SELECTION, Course, courses
from slimgate.report.pictures import picture

EPOCHS = "epochs"
# A suite of many variants has as many plots: more in one picture would not be seen.
_MOST, _ACROSS = 24, 4
_WIDTH, _HEIGHT = 2.8, 2.0


def draw_epochs(record: RunRecord, folder: Path) -> Path | None:
    """Writes epochs.svg; None where no step trained for two epochs. Needs matplotlib."""
    shown = [course for course in courses(record) if len(course.epochs) > 1][:_MOST]
    if not shown:
        return None
    across = min(_ACROSS, len(shown))
    down = ceil(len(shown) / across)
    path = folder / f"{EPOCHS}.svg"
    with picture(path, (max(2, across) * _WIDTH, down * _HEIGHT + 0.4)) as figure:
        plots = figure.subplots(down, across, squeeze=False).flatten()
        lines: dict[str, Any] = {}
        for axes, course in zip(plots, shown, strict=False):
            lines |= _draw(axes, course)
        for axes in plots[len(shown) :]:
            axes.set_axis_off()
        figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=4, fontsize=7)
    return path


def _draw(axes: Any, course: Course) -> dict[str, Any]:
    """One step: losses by the scale on the left, qualities by that on the right. Gives the lines by name."""
    numbers = range(1, len(course.epochs) + 1)
    axes.set_title(f"{course.model.name}: {course.step.name}", fontsize=7)
    right = axes.twinx()
    lines: dict[str, Any] = {}
    for name, key, style in (("loss, train", LOSS, "C0-"), ("loss, selection", LOSS_SELECTION, "C0--")):
        lines |= _line(axes, numbers, course.values(key), name, style)
    for place, quality in enumerate(course.qualities, start=1):
        name = f"{quality}, selection (right)"
        lines |= _line(right, numbers, course.values(f"{quality}_selection"), name, f"C{place}-")
    for side in (axes, right):
        side.tick_params(labelsize=6)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return lines


def _line(axes: Any, numbers: range, values: list[float | None], name: str, style: str) -> dict[str, Any]:
    if all(value is None for value in values):
        return {}
    known = [float("nan") if value is None else value for value in values]
    [line] = axes.plot(numbers, known, style, linewidth=1, marker=".", markersize=3)
    return {name: line}
