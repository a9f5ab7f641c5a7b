"""Many releases of one suite, as tables and as a plot.

The tables have a row for each release and a column for each model. The plot has a panel for each gated metric
and a line for each model; it needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_apart, format_megabytes
from slimgate.record.earlier_results import format_status
from slimgate.record.files import StoredRecord
from slimgate.record.run import VariantRecord
from slimgate.record.task import Machine
from slimgate.report.figures import add_note
from slimgate.report.pictures import picture
from slimgate.report.status import (
    describe_workload,
    find_model,
    list_budgeted_metrics,
    list_model_metrics,
    list_workloads,
)
from slimgate.report.tables import Column, blocks, make_pipe_table, remove_empty_columns
from slimgate.report.variant_tables import format_quality_cell
from slimgate.results.checks import TEACHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cell = Callable[[VariantRecord], str]
_MOST_PANELS = 4
_FULL: dict[str, Any] = {"marker": "o"}
_HOLLOW: dict[str, Any] = {"marker": "o", "markerfacecolor": "white"}
_WIDTH, _HEIGHT = 9.0, 3.2


def format_history(releases: Sequence[StoredRecord], picture_path: str | None = None) -> str:
    """The section "History": a table of verdicts, then tables of gated metrics, sizes and speed-ups.

    Args:
        releases: the oldest first; without any the section is empty.
        picture_path: the plot, relative to the report.
    """
    if not releases:
        return ""
    names = list_model_names(releases)
    shown = f"![history]({picture_path})" if picture_path else ""
    return blocks(
        "## History",
        _format_release_table(releases),
        shown,
        *(_make_metric_history(releases, names, metric) for metric in list_gated_metrics(releases)),
        _make_history_table(
            "Size, MB",
            releases,
            names,
            lambda model: format_megabytes(model.artifact.bytes) if model.artifact else MISSING,
        ),
        *(_make_speed_history(releases, names, workload) for workload in list_workloads(releases[-1].record)),
    )


def list_model_names(releases: Sequence[StoredRecord]) -> list[str]:
    """The models of all releases. Those of the newest release come first."""
    return list(
        dict.fromkeys(model.name for release in reversed(releases) for model in release.record.variants)
    )


def list_gated_metrics(releases: Sequence[StoredRecord]) -> list[str]:
    """Metrics with a budget in any release; if there are none, the first metric of the newest release."""
    gated = list(
        dict.fromkeys(
            name for release in reversed(releases) for name in list_budgeted_metrics(release.record)
        )
    )
    return gated or list_model_metrics(releases[-1].record)[:1]


def _format_release_table(releases: Sequence[StoredRecord]) -> str:
    records = [release.record for release in releases]
    columns = [
        Column("release", [escape(release.name) for release in releases]),
        Column("ran", [escape(record.created) for record in records]),
        Column("status", [format_status(record) for record in records]),
        Column(
            "hold / fail / undecided",
            [
                f"{record.verdict.passed} / {record.verdict.failed} / {record.verdict.inconclusive}"
                for record in records
            ],
            right=True,
        ),
        Column("gate rows", _format_gate_rows(releases)),
        Column("machine", [escape(_format_processor(record.machine), longest=100) for record in records]),
        Column(
            "accepted because",
            [
                escape(record.accepted.reason) if record.accepted and record.accepted.reason else MISSING
                for record in records
            ],
        ),
    ]
    return make_pipe_table(remove_empty_columns(columns))


def _format_processor(machine: Machine) -> str:
    """The processor, after the GPU if it computed: the GPU decides the times."""
    return machine.cpu if machine.gpu is None else f"{machine.gpu}, {machine.cpu}"


def _format_gate_rows(releases: Sequence[StoredRecord]) -> list[str]:
    """`3,080 (A)`: how many gate rows. Releases with the same rows share a letter, and can be compared.

    After A to Z come A2 to Z2.
    """
    letters: dict[str, str] = {}
    shown = []
    for release in releases:
        gate = release.record.task.splits.get("gate")
        if gate is None:
            shown.append(MISSING)
            continue
        turn, place = divmod(len(letters), 26)
        letter = letters.setdefault(gate.digest, f"{chr(ord('A') + place)}{turn + 1 if turn else ''}")
        shown.append(f"{gate.n:,} ({letter})")
    return shown


def _make_metric_history(releases: Sequence[StoredRecord], names: Sequence[str], metric: str) -> str:
    return _make_history_table(
        escape(metric), releases, names, lambda model: format_quality_cell(model.quality.get(metric))
    )


def _make_speed_history(releases: Sequence[StoredRecord], names: Sequence[str], workload: str) -> str:
    def cell(model: VariantRecord) -> str:
        facts = model.latency.get(workload)
        if facts is None or facts.speedup is None or facts.speedup_interval is None:
            return MISSING
        numbers = (facts.speedup, *facts.speedup_interval)
        speedup, low, high = format_apart(numbers, [budget.limit for budget in facts.budgets], fewest=2)
        return add_note(f"{speedup}×", f"{low} to {high}")

    return _make_history_table(
        f"Speed-up over its own teacher, {describe_workload(workload)}", releases, names, cell
    )


def _make_history_table(
    heading: str, releases: Sequence[StoredRecord], names: Sequence[str], cell: Cell
) -> str:
    columns = [
        Column(escape(name), [_format_release_cell(release, name, cell) for release in releases], right=True)
        for name in names
    ]
    shown_columns = remove_empty_columns(columns)
    if not shown_columns:
        return ""
    return blocks(
        f"### {heading}",
        make_pipe_table([Column("release", [escape(release.name) for release in releases]), *shown_columns]),
    )


def _format_release_cell(release: StoredRecord, name: str, cell: Cell) -> str:
    model = find_model(release.record, name)
    return MISSING if model is None else cell(model)


def draw_history(releases: Sequence[StoredRecord], path: Path) -> Path:
    """Writes the plot as SVG. releases: the oldest first.

    A mark is hollow if its release had other gate rows than the newest one. A dotted line joins releases with
    different gate rows.
    """
    panels = list_gated_metrics(releases)[:_MOST_PANELS]
    with picture(path, (_WIDTH, _HEIGHT * max(1, len(panels)))) as figure:
        axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)
        for row, metric in zip(axes, panels, strict=True):
            _draw_panel(row[0], releases, metric)
        names = [release.name for release in releases]
        axes[-1][0].set_xticks(range(len(releases)), names, rotation=20, ha="right")
        if len({release.record.task.find_digest("gate") for release in releases}) > 1:
            axes[0][0].plot([], [], label="other gate rows", color="gray", linestyle="none", **_HOLLOW)
        axes[0][0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return path


def _draw_panel(axes: Axes, releases: Sequence[StoredRecord], metric: str) -> None:
    gates = [release.record.task.find_digest("gate") for release in releases]
    for number, name in enumerate(list_model_names(releases)):
        points = [
            (place, value)
            for place, release in enumerate(releases)
            if (value := find_metric_value(release, name, metric)) is not None
        ]
        style = {"color": "black", "linewidth": 2} if name == TEACHER else {"color": f"C{number}"}
        for (start, before), (end, after) in pairwise(points):
            axes.plot((start, end), (before, after), ls="-" if gates[start] == gates[end] else ":", **style)
        for place, value in points:
            mark = _FULL if gates[place] == gates[-1] else _HOLLOW
            axes.plot(place, value, linestyle="none", **mark, **style)
        if points:
            axes.plot([], [], label=name, **_FULL, **style)
    axes.set_ylabel(metric)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def find_metric_value(release: StoredRecord, name: str, metric: str) -> float | None:
    """The value of a model's metric in a release. None if it has no value."""
    model = find_model(release.record, name)
    facts = model.quality.get(metric) if model else None
    return facts.value if facts else None
