"""Plots of a record: a metric against bytes, speed, rows a teacher labelled; behaviour; training by epoch.

matplotlib is an extra; where it is missing there are no plots, and the report says nothing of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgate.judge.budget_kinds import is_in_points, is_two_sided_kind
from slimgate.record import RunRecord, VariantRecord
from slimgate.report.behaviour_plots import draw_behaviour
from slimgate.report.epoch_plots import draw_epochs
from slimgate.report.pictures import COLOURS, picture
from slimgate.report.status import TEACHER, budgeted_metrics, metrics, models, workload_words
from slimgate.report.task_figures import active_log

_MEGABYTE = 1024**2
_NUMBERED = re.compile(r"(.*?)-(\d+)(-.*)?$")
_WIDTH, _HEIGHT = 9.0, 5.5
# Points closer than this share of the plot would have their names over each other.
_NEAR = 0.05


@dataclass(frozen=True)
class Point:
    """A model in a plot. error: how far the interval reaches below and above the value."""

    name: str
    x: float
    value: float
    error: tuple[float, float] | None
    gated: bool


def write_plots(record: RunRecord, folder: Path) -> list[Path]:
    """Writes, as SVG, the first metric that has a budget against each, behaviour, the epochs of training.

    Gives the files. Needs matplotlib. Nothing is drawn where fewer than two models have been measured, or
    no step trained for two epochs.
    """
    written: list[Path] = []
    for metric in [*budgeted_metrics(record), *metrics(record)][:1]:
        against = {
            "size": ("files needed to predict, MB", list(_by_size(record, metric))),
            "teacher-labels": ("rows that the teacher labelled", list(_by_labels(record, metric))),
        }
        for workload in _workloads(record):
            speeds = list(_by_speed(record, metric, workload))
            against[f"speed-{workload}"] = (f"speed-up over the teacher, {workload_words(workload)}", speeds)
        for name, (axis_words, points) in against.items():
            if len(points) > 1:
                written.append(_draw(record, metric, points, axis_words, folder / f"{metric}-{name}.svg"))
    written += draw_behaviour(record, folder)
    epochs = draw_epochs(record, folder)
    return written if epochs is None else [*written, epochs]


def _by_size(record: RunRecord, metric: str) -> Iterator[Point]:
    for model in models(record):
        size = model.artifact.bytes if model.artifact else None
        if size is not None and metric in model.quality:
            yield _point(model, metric, size / _MEGABYTE)


def _by_labels(record: RunRecord, metric: str) -> Iterator[Point]:
    for model in models(record):
        if metric in model.quality and (log := active_log(model)) is not None:
            yield _point(model, metric, float(log["asked"]))


def _by_speed(record: RunRecord, metric: str, workload: str) -> Iterator[Point]:
    for model in models(record):
        if metric not in model.quality:
            continue
        if model.name == TEACHER:
            yield _point(model, metric, 1.0)
        elif workload in model.latency and model.latency[workload].speedup is not None:
            yield _point(model, metric, float(model.latency[workload].speedup or 0.0))


def _workloads(record: RunRecord) -> list[str]:
    return list(dict.fromkeys(name for model in record.variants for name in model.latency))


def _point(model: VariantRecord, metric: str, x: float) -> Point:
    facts = model.quality[metric]
    error = None
    if facts.interval is not None and facts.drop_points is not None:
        low, high = facts.interval
        error = (abs(high - facts.drop_points) / 100, abs(facts.drop_points - low) / 100)
    return Point(model.name, x, facts.value, error, model.gated)


def _draw(record: RunRecord, metric: str, points: list[Point], axis_words: str, path: Path) -> Path:
    from matplotlib.ticker import FormatStrFormatter

    with picture(path, (_WIDTH, _HEIGHT)) as figure:
        axes = figure.add_subplot()
        _limits(axes, record, metric, points)
        below = _labels_below(points)
        for number, series in enumerate(_series(points)):
            _line(axes, series, COLOURS[number % len(COLOURS)], below)
        axes.set(xscale="log", xlabel=axis_words, ylabel=metric, title=f"{metric} against {axis_words}")
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(FormatStrFormatter("%g"))
        axes.tick_params(axis="x", which="both", labelsize=8)
        axes.margins(x=0.16)  # room for the names
        axes.grid(alpha=0.25)
    return path


def _limits(axes: Any, record: RunRecord, metric: str, points: list[Point]) -> None:
    """A line where the teacher stands, and one where most of the budgets end."""
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
        for side in (-1, 1) if is_two_sided_kind(kind) else (-1,):
            axes.axhline(teacher + side * common / 100, color="grey", linewidth=1, linestyle="--")


def series_name(name: str) -> str:
    """`gptq-#` for gptq-4; a name without a number is its own."""
    match = _NUMBERED.fullmatch(name)
    return name if match is None else f"{match[1]}-#{match[3] or ''}"


def _series(points: list[Point]) -> list[list[Point]]:
    """Variants whose names differ in one number (gptq-4, gptq-3, …) belong to one curve."""
    by_group: dict[str, list[Point]] = {}
    for point in points:
        by_group.setdefault(series_name(point.name), []).append(point)
    return [sorted(series, key=lambda point: point.x) for series in by_group.values()]


def _labels_below(points: list[Point]) -> set[str]:
    """The models whose names go below their points: above, another name would be written over theirs."""
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


def _line(axes: Any, series: list[Point], colour: str, below: set[str]) -> None:
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
