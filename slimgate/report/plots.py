"""Plots of a record: its budgets; a metric by size, speed and labelled rows; behaviour; epochs of training.

matplotlib is an extra; without it there are no plots, and the report does not mention them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from slimgate._system.escape import cut_end
from slimgate._system.number_text import MEGABYTE
from slimgate.budgets.registry import is_in_points, is_two_sided_kind
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.confusions import MOST_CLASSES, list_matrix_cells, list_tradeoffs, select_changed_cells
from slimgate.report.epochs import LOSS, LOSS_SELECTION, Course, list_courses
from slimgate.report.page.budgets import ModelBudget, rank_budgets
from slimgate.report.page.charts import name_series
from slimgate.report.pictures import COLOURS, picture
from slimgate.report.status import (
    describe_workload,
    list_budgeted_metrics,
    list_model_metrics,
    list_models,
    list_variants,
)
from slimgate.report.task_figures import find_active_log
from slimgate.results.base import Verdict
from slimgate.results.behaviour import TradeoffFacts
from slimgate.results.checks import TEACHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator

_WIDTH, _HEIGHT = 9.0, 5.5
# Points closer than this share of the plot would have their names over each other.
_NEAR = 0.05
# More panels, or more lines in one plot, cannot be distinguished.
_MOST_PANELS, _PANELS_ACROSS = 12, 4
CONFUSION, TRADEOFF = "confusion", "precision-recall"
_MOST_LINES, _MOST_BUDGETS = 9, 30
_LONGEST_LABEL = 60
_BUDGET_HEIGHT = 0.28
# Colour and marker differ, so that the plot can be read without colours.
_MARKS = {
    Verdict.PASS: ("#009E73", "o"),
    Verdict.INCONCLUSIVE: ("#E69F00", "D"),
    Verdict.FAIL: ("#D55E00", "X"),
}
_MOST_DRAWN_CLASSES = 30
_PANEL_SIDE = 2.6
EPOCHS = "epochs"
# A suite of many variants has as many plots, and more in one picture would be unreadable.
_MOST_COURSES, _COURSES_ACROSS = 24, 4
_COURSE_WIDTH, _COURSE_HEIGHT = 2.8, 2.0


@dataclass(frozen=True)
class Point:
    """A model in a plot. error: how far the interval reaches below and above the value."""

    name: str
    x: float
    value: float
    error: tuple[float, float] | None
    gated: bool


def write_plots(record: RunRecord, folder: Path) -> list[Path]:
    """Writes the plots as SVG, and returns their files. Needs matplotlib.

    The plots of a metric are of the first metric with a budget, or else of the first metric. They need two
    measured models. The plot of epochs needs a step that trained for two.
    """
    budgets = draw_budgets(record, folder)
    written = [] if budgets is None else [budgets]
    for metric in [*list_budgeted_metrics(record), *list_model_metrics(record)][:1]:
        against = {
            "size": ("files needed to predict, MB", list(_list_points_by_size(record, metric))),
            "teacher-labels": (
                "rows that the teacher labelled",
                [
                    _make_point(record, model, metric, float(log["asked"]))
                    for model in list_models(record)
                    if metric in model.quality and (log := find_active_log(model)) is not None
                ],
            ),
        }
        for workload in list(dict.fromkeys(name for model in record.variants for name in model.latency)):
            speeds = list(_list_points_by_speed(record, metric, workload))
            against[f"speed-{workload}"] = (
                f"speed-up over the teacher, {describe_workload(workload)}",
                speeds,
            )
        for name, (axis_words, points) in against.items():
            if len(points) > 1:
                file = f"{metric.replace('/', '_')}-{name}.svg"  # hub:OWNER/NAME
                written.append(_draw_metric(record, metric, points, axis_words, folder / file))
    written += draw_behaviour(record, folder)
    epochs = draw_epochs(record, folder)
    return written if epochs is None else [*written, epochs]


def draw_budgets(record: RunRecord, folder: Path) -> Path | None:
    """Draws all budgets, the worst first, into budgets.svg; None if fewer than two were judged.

    It is a forest plot: intervals as shares of what each budget allows. The limit of each budget is at 50.
    """
    judged = [
        (line, line.budget.margin, _MARKS[line.budget.verdict])
        for line in rank_budgets(list_models(record))
        if line.budget.margin is not None and line.budget.verdict is not None
    ]
    if len(judged) < 2:
        return None
    shown = judged[:_MOST_BUDGETS]
    path = folder / "budgets.svg"
    with picture(path, (_WIDTH, _BUDGET_HEIGHT * len(shown) + 1.3)) as figure:
        axes = figure.add_subplot()
        for place, (_, margin, (colour, marker)) in enumerate(shown):
            error_bars = [[margin.value - margin.low], [margin.high - margin.value]]
            axes.errorbar(
                [margin.value], [place], xerr=error_bars, fmt=marker, color=colour, capsize=3, markersize=5
            )
        axes.axvline(50, color="black", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(shown)), [_format_label(line) for line, *_ in shown], fontsize=8)
        axes.set_xticks(
            [0, 50, 75, 100], ["outside", "limit", "half of it left", "all of it left"], fontsize=8
        )
        axes.set(xlim=(-3, 103), ylim=(len(shown) - 0.4, -0.6))
        more = f", the worst {len(shown)} of {len(judged)}" if len(judged) > len(shown) else ""
        axes.set_title(f"What each budget leaves{more}: right of the line is inside", fontsize=10)
        axes.grid(axis="x", alpha=0.25)
    return path


def _format_label(line: ModelBudget) -> str:
    text = f"{line.model}: {line.budget.name}, {line.budget.measured}".replace("\\", "")
    return cut_end(text, _LONGEST_LABEL)


def _list_points_by_size(record: RunRecord, metric: str) -> Iterator[Point]:
    for model in list_models(record):
        size = model.artifact.bytes if model.artifact else None
        if size is not None and metric in model.quality:
            yield _make_point(record, model, metric, size / MEGABYTE)


def _list_points_by_speed(record: RunRecord, metric: str, workload: str) -> Iterator[Point]:
    for model in list_models(record):
        if metric not in model.quality:
            continue
        if model.name == TEACHER:
            yield _make_point(record, model, metric, 1.0)
        elif workload in model.latency and model.latency[workload].speedup is not None:
            yield _make_point(record, model, metric, float(model.latency[workload].speedup or 0.0))


def _make_point(record: RunRecord, model: VariantRecord, metric: str, x: float) -> Point:
    facts = model.quality[metric]
    error = None
    if facts.interval is not None and facts.drop_points is not None:
        change = _compute_change_per_drop(record, metric)
        below, above = sorted(change * (end - facts.drop_points) for end in facts.interval)
        error = (abs(below), abs(above))
    return Point(model.name, x, facts.value, error, model.gated)


def _compute_change_per_drop(record: RunRecord, metric: str) -> float:
    """The change of the metric's value, in its own unit, for a drop of 1 point: -0.01 for an accuracy.

    It is positive if lower is better, which shows in a variant whose value rose with a positive drop. For a
    drop in percent, such as that of a perplexity, it is 1 % of the teacher's value.
    """
    judged = [model.quality[metric] for model in record.variants if metric in model.quality]
    for facts in judged:
        if facts.unit == "percent":
            return facts.teacher / 100
    moves = [(facts.value - facts.teacher) * (facts.drop_points or 0.0) for facts in judged]
    return 0.01 if any(move > 0 for move in moves) else -0.01


def _draw_metric(record: RunRecord, metric: str, points: list[Point], axis_words: str, path: Path) -> Path:
    from matplotlib.ticker import FormatStrFormatter

    with picture(path, (_WIDTH, _HEIGHT)) as figure:
        axes = figure.add_subplot()
        _draw_limits(axes, record, metric, points)
        below = _choose_labels_below(points)
        for number, series in enumerate(_group_series(points)):
            _draw_line(axes, series, COLOURS[number % len(COLOURS)], below)
        axes.set(xscale="log", xlabel=axis_words, ylabel=metric, title=f"{metric} against {axis_words}")
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(FormatStrFormatter("%g"))
        axes.tick_params(axis="x", which="both", labelsize=8)
        axes.margins(x=0.16)  # room for the names
        axes.grid(alpha=0.25)
    return path


def _draw_limits(axes: Axes, record: RunRecord, metric: str, points: list[Point]) -> None:
    """A line at the teacher's value, and a dashed line at the most common limit of the budgets."""
    teacher = next((point.value for point in points if point.name == TEACHER), None)
    if teacher is None:
        return
    axes.axhline(teacher, color="grey", linewidth=1, label="teacher")
    limits = [
        (budget.kind, budget.limit)
        for model in record.variants
        if metric in model.quality
        for budget in model.quality[metric].budgets
        if is_in_points(budget.kind)
    ]
    if limits:
        kind, common = max(dict.fromkeys(limits), key=limits.count)
        for side in (-1, 1) if is_two_sided_kind(kind) else (1,):
            end = teacher + side * common * _compute_change_per_drop(record, metric)
            axes.axhline(end, color="grey", linewidth=1, linestyle="--")


def _group_series(points: list[Point]) -> list[list[Point]]:
    """Variants whose names differ in one number (gptq-4, gptq-3, …) belong to one curve."""
    by_group: dict[str, list[Point]] = {}
    for point in points:
        by_group.setdefault(name_series(point.name), []).append(point)
    return [sorted(series, key=lambda point: point.x) for series in by_group.values()]


def _choose_labels_below(points: list[Point]) -> set[str]:
    """The models whose names go below their points, because another name would cover them above."""
    spread = max(point.value for point in points) - min(point.value for point in points)
    below: set[str] = set()
    for place, point in enumerate(points):
        near = [
            other.name
            for other in points[:place]
            if abs(other.value - point.value) < _NEAR * spread and abs(other.x - point.x) < _NEAR * point.x
        ]
        if len(set(near) - below) > len(set(near) & below):
            below.add(point.name)
    return below


def _draw_line(axes: Axes, series: list[Point], colour: str, below: set[str]) -> None:
    xs, ys = [point.x for point in series], [point.value for point in series]
    axes.plot(xs, ys, color=colour, linewidth=1, alpha=0.6)
    for point in series:
        error = None if point.error is None else [[point.error[0]], [point.error[1]]]
        face = colour if point.gated else "white"
        axes.errorbar(
            [point.x], [point.value], yerr=error, fmt="o", color=colour, markerfacecolor=face, markersize=5,
            capsize=2, elinewidth=1,
        )  # fmt: skip
        offset = (5, -11 if point.name in below else 4)
        axes.annotate(
            point.name, (point.x, point.value), xytext=offset, textcoords="offset points", fontsize=8
        )


def draw_behaviour(record: RunRecord, folder: Path) -> list[Path]:
    """Writes confusion.svg and precision-recall.svg, if the record has the data. Needs matplotlib."""
    pictures = [_draw_confusion(record, folder), _draw_tradeoff(record, folder)]
    return [path for path in pictures if path is not None]


def _draw_confusion(record: RunRecord, folder: Path) -> Path | None:
    """The teacher's rows by label and prediction, then how many more or fewer each variant has."""
    known = [
        (model.name, cells)
        for model in list_variants(record)
        if model.behaviour is not None and (cells := list_matrix_cells(model.behaviour))
    ]
    moved = [(name, cells) for name, cells in known if select_changed_cells(cells)][: _MOST_PANELS - 1]
    names = record.task.classes
    if not moved or not 2 <= len(names) <= _MOST_DRAWN_CLASSES:
        return None
    across = min(_PANELS_ACROSS, len(moved) + 1)
    down = ceil((len(moved) + 1) / across)
    path = folder / f"{CONFUSION}.svg"
    with picture(path, (across * _PANEL_SIDE + 0.4, down * _PANEL_SIDE)) as figure:
        plots = figure.subplots(down, across, squeeze=False).flatten()
        _, first_cells = known[0]
        teacher = [(cell.label, cell.prediction, cell.before) for cell in first_cells]
        _draw_confusion_panel(plots[0], "teacher, rows", teacher, names)
        largest = max(abs(cell.change) for _, cells in moved for cell in cells)
        for axes, (name, cells) in zip(plots[1:], moved, strict=False):
            changes = [(cell.label, cell.prediction, cell.change) for cell in cells]
            _draw_confusion_panel(axes, f"{name} − teacher", changes, names, largest)
        for place, axes in enumerate(plots):
            axes.set_axis_off() if place > len(moved) else _draw_labels(axes, names, left=place % across == 0)
        figure.supxlabel("prediction", fontsize=8)
        figure.supylabel("label", fontsize=8)
    return path


def _draw_confusion_panel(
    axes: Axes, title: str, cells: Sequence[tuple[int, int, int]], names: Sequence[str], change: int = 0
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


def _draw_labels(axes: Axes, names: Sequence[str], *, left: bool) -> None:
    shown = [cut_end(name, 16) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=6)
    axes.set_yticks(range(len(names)), shown if left else [""] * len(names), fontsize=6)


def _draw_tradeoff(record: RunRecord, folder: Path) -> Path | None:
    """A line for each model through the thresholds; the teacher's line is black."""
    behaviours = [(model, model.behaviour) for model in list_variants(record) if model.behaviour is not None]
    known_points = [
        (name, [point for point in points if point.precision is not None and point.recall is not None])
        for name, points in list_tradeoffs(behaviours)
    ]
    lines = [(name, points) for name, points in known_points if len(points) > 1][: _MOST_LINES + 1]
    if not lines:
        return None
    path = folder / f"{TRADEOFF}.svg"
    with picture(path, (8.0, 4.5)) as figure:
        axes = figure.add_subplot()
        for place, (name, points) in enumerate(lines):
            _draw_tradeoff_line(axes, name, points, place)
        axes.set(xlabel="recall", ylabel="precision", title="Precision and recall at thresholds 0.1 to 0.9")
        axes.grid(alpha=0.25)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return path


def _draw_tradeoff_line(axes: Axes, name: str, points: Sequence[TradeoffFacts], place: int) -> None:
    colour, marker = COLOURS[place % len(COLOURS)], "os^vPX*hp"[place % 9]
    if name == TEACHER:
        colour, marker = "black", "D"
    xs, ys = [point.recall for point in points], [point.precision for point in points]
    axes.plot(
        cast("list[float]", xs),
        cast("list[float]", ys),
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=1,
        label=name,
    )


def draw_epochs(record: RunRecord, folder: Path) -> Path | None:
    """Writes epochs.svg; None if no step trained for two epochs. Needs matplotlib."""
    shown = [course for course in list_courses(record) if len(course.epochs) > 1][:_MOST_COURSES]
    if not shown:
        return None
    across = min(_COURSES_ACROSS, len(shown))
    down = ceil(len(shown) / across)
    path = folder / f"{EPOCHS}.svg"
    with picture(path, (max(2, across) * _COURSE_WIDTH, down * _COURSE_HEIGHT + 0.4)) as figure:
        plots = figure.subplots(down, across, squeeze=False).flatten()
        lines: dict[str, Any] = {}
        for axes, course in zip(plots, shown, strict=False):
            lines |= _draw_course(axes, course)
        for axes in plots[len(shown) :]:
            axes.set_axis_off()
        figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=4, fontsize=7)
    return path


def _draw_course(axes: Axes, course: Course) -> dict[str, Any]:
    """Draws one step: losses by the left scale, qualities by the right scale. Returns the lines by name."""
    numbers = range(1, len(course.epochs) + 1)
    axes.set_title(f"{course.model.name}: {course.step.name}", fontsize=7)
    right = axes.twinx()
    lines: dict[str, Any] = {}
    for name, key, style in (("loss, train", LOSS, "C0-"), ("loss, selection", LOSS_SELECTION, "C0--")):
        lines |= _draw_epoch_line(axes, numbers, course.list_values(key), name, style)
    for place, quality in enumerate(course.qualities, start=1):
        name = f"{quality}, selection (right)"
        lines |= _draw_epoch_line(
            right, numbers, course.list_values(f"{quality}_selection"), name, f"C{place}-"
        )
    for side in (axes, right):
        side.tick_params(labelsize=6)
    cast("MaxNLocator", axes.xaxis.get_major_locator()).set_params(integer=True)
    return lines


def _draw_epoch_line(
    axes: Axes, numbers: range, values: list[float | None], name: str, style: str
) -> dict[str, Any]:
    if all(value is None for value in values):
        return {}
    known = [float("nan") if value is None else value for value in values]
    [line] = axes.plot(numbers, known, style, linewidth=1, marker=".", markersize=3)
    return {name: line}
