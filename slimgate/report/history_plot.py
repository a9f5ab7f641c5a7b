"""Many releases of one suite as a picture: a panel a gated metric, a line a model. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from slimgate.record.files import Kept
from slimgate.report.history import gated_metrics, model_names
from slimgate.report.pictures import picture
from slimgate.report.standing import TEACHER

_MOST_PANELS = 4
_FULL: dict[str, Any] = {"marker": "o"}
_HOLLOW: dict[str, Any] = {"marker": "o", "markerfacecolor": "white"}
_WIDTH, _HEIGHT = 9.0, 3.2


def draw_history(releases: Sequence[Kept], path: Path) -> Path:
    """Writes it as SVG. releases: the oldest first.

    A value of other gate rows than the newest release's stands in a hollow mark, and a dotted line leads on.
    """
    panels = gated_metrics(releases)[:_MOST_PANELS]
    with picture(path, (_WIDTH, _HEIGHT * max(1, len(panels)))) as figure:
        axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)
        for row, metric in zip(axes, panels, strict=True):
            _panel(row[0], releases, metric)
        # a folder's name may hold "$", which would begin a formula
        names = [one.name for one in releases]
        axes[-1][0].set_xticks(range(len(releases)), names, rotation=20, ha="right", parse_math=False)
        if len({_gate(one) for one in releases}) > 1:
            axes[0][0].plot([], [], label="other gate rows", color="gray", linestyle="none", **_HOLLOW)
        axes[0][0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return path


def _panel(axes: Any, releases: Sequence[Kept], metric: str) -> None:
    gates = [_gate(one) for one in releases]
    for number, name in enumerate(model_names(releases)):
        points = [
            (place, value)
            for place, one in enumerate(releases)
            if (value := _value(one, name, metric)) is not None
        ]
        style = {"color": "black", "linewidth": 2} if name == TEACHER else {"color": f"C{number}"}
        for (start, before), (end, after) in pairwise(points):
            axes.plot((start, end), (before, after), ls="-" if gates[start] == gates[end] else ":", **style)
        for place, value in points:
            mark = _FULL if gates[place] == gates[-1] else _HOLLOW
            axes.plot(place, value, linestyle="none", **mark, **style)
        if points:
            axes.plot([], [], label=name, **_FULL, **style)
    axes.set_ylabel(metric, parse_math=False)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _value(release: Kept, name: str, metric: str) -> float | None:
    model = next((one for one in release.record.variants if one.name == name), None)
    facts = model.quality.get(metric) if model else None
    return facts.value if facts else None


def _gate(release: Kept) -> str | None:
    gate = release.record.task.splits.get("gate")
    return gate.digest if gate else None
