"""The plots of the docs and of reports/frontier.md, from the tables of the reports, for light and dark."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import dropwhile, takewhile
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slimgate._system.number_text import MEGABYTE
from tools.site.links import ROOT

REPORTS = ROOT / "reports"
INK = {"light": "#24292f", "dark": "#d7dae0"}
# Okabe and Ito's colours, which people with any colour vision can distinguish.
LINES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7")
# The largest allowed percentage of wrong verdicts.
AIM = 5.0
STYLE = {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "slimgate", "svg.fonttype": "path"}

Row = Mapping[str, str]


def draw_plots() -> Iterator[tuple[str, bytes]]:
    """(path on the site, SVG) of every plot in both colours. Only the ink differs, so it is drawn once."""
    for name, (size, draw) in PLOTS.items():
        light = _draw_svg(size, draw, INK["light"])
        for scheme, ink in INK.items():
            yield f"plots/{name}-{scheme}.svg", light.replace(INK["light"].encode(), ink.encode())


def read_table(page: str, title: str) -> list[Row]:
    """The rows of the first table after a text of a page in reports/: column -> cell, without bold.

    Raises ValueError if the page has no such table.
    """
    _, title_found, rest = (REPORTS / f"{page}.md").read_text("utf-8").partition(title)
    section = dropwhile(lambda line: not line.startswith("|"), rest.partition("\n## ")[0].splitlines())
    lines = list(takewhile(lambda line: line.startswith("|"), section))
    if not title_found or len(lines) < 3:
        raise ValueError(f"reports/{page}.md has no table under {title!r}")
    header, _, *rows = ([cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def parse_number(cell: str) -> float:
    """`1,000` and `4.9` as numbers."""
    return float(cell.replace(",", ""))


def _draw_svg(size: tuple[float, float], draw: Callable[[Figure, str], None], ink: str) -> bytes:
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, ink)
        target = BytesIO()
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return target.getvalue()


def _make_axes(figure: Figure, ink: str, *, columns: int = 1) -> Sequence[Axes]:
    """Axes whose lines and words have the colour `ink`."""
    plots: Any = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for axes in plots:
        _set_style(axes, ink)
    return list(plots)


def _set_style(axes: Axes, ink: str) -> None:
    """Gives the lines and words of the axes the colour `ink`."""
    axes.grid(color=ink, alpha=0.15, linewidth=0.6)
    axes.tick_params(colors=ink, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)


def _write_words(axes: Axes, ink: str, *, x: str, y: str = "", title: str = "") -> None:
    axes.set_xlabel(x, color=ink)
    axes.set_ylabel(y, color=ink)
    axes.set_title(title, color=ink, fontsize=10)


def _draw_legend(axes: Axes, ink: str, **where: Any) -> None:
    axes.legend(frameon=False, labelcolor=ink, **where)


def _draw_series(axes: Axes, rows: Sequence[Row], x: str, columns: Mapping[str, str]) -> None:
    """Draws a line for each column. columns: column -> its label."""
    places = [parse_number(row[x]) for row in rows]
    for index, (column, label) in enumerate(columns.items()):
        _draw_line(axes, index, places, [parse_number(row[column]) for row in rows], label)


def _draw_line(axes: Axes, index: int, x: Sequence[float], y: Sequence[float], label: str) -> None:
    """Draws a line with a marker at each point. index: of its colour."""
    axes.plot(x, y, "o-", color=LINES[index], label=label, markersize=4)


def draw_worst_cells(figure: Figure, ink: str) -> None:
    """The share of wrong verdicts in the worst cell of every rule."""
    rows = sorted(
        read_table("simulations/README", "# How often"), key=lambda row: parse_number(row["false PASS, %"])
    )
    [axes] = _make_axes(figure, ink)
    at = range(len(rows))
    axes.hlines(at, 0, [parse_number(row["false PASS, %"]) for row in rows], color=LINES[0], alpha=0.35)
    for column, colour, sign in (("false PASS, %", LINES[0], "o"), ("false FAIL, %", LINES[1], "|")):
        points = [
            (parse_number(row[column]), y) for y, row in zip(at, rows, strict=True) if row[column] != "-"
        ]
        axes.plot(*zip(*points, strict=True), sign, color=colour, label=column.removesuffix(", %"))
    axes.axvline(AIM, color=LINES[3], linestyle="--", linewidth=1)
    axes.set_yticks(at, [row["rule"] for row in rows], fontsize=8)
    axes.set_ylim(-1, len(rows))
    _write_words(axes, ink, x="share of wrong verdicts in the rule's worst cell, %")
    _draw_legend(axes, ink, loc="lower right")


def draw_rules(figure: Figure, ink: str) -> None:
    """Tango's rule and others, for a drop that equals the margin."""
    labels = {
        "Tango": "Tango (slimgate)",
        "Wald": "Wald interval",
        "percentile bootstrap": "percentile bootstrap",
        "point rule": "measured drop ≤ budget",
        "llm-compressor": "ratio of two digits",
    }
    rows = read_table("simulations/accuracy_verdicts", "## PASS at a true drop of the margin")
    for axes, margin in zip(_make_axes(figure, ink, columns=2), ("1", "2"), strict=True):
        shown = [row for row in rows if (row["margin, points"], row["psi, %"]) == (margin, "2")]
        _draw_series(axes, shown, "n", labels)
        axes.axhline(AIM, color=ink, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=10)
        axes.set_yticks([0, 5, 10, 50, 100], ["0", "5", "10", "50", "100"])
        s = "" if margin == "1" else "s"
        _write_words(axes, ink, x="gate rows", title=f"true drop = budget = {margin} point{s}")
        if margin == "1":
            axes.set_ylabel("passes, %", color=ink)
        else:
            _draw_legend(axes, ink, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_power(figure: Figure, ink: str) -> None:
    """How often an equal variant passes."""
    rows = read_table("simulations/accuracy_verdicts", "## Tango's three verdicts")
    for axes, psi in zip(_make_axes(figure, ink, columns=2), ("2", "10"), strict=True):
        for index, margin in enumerate(("1", "2", "5", "10")):
            shown = [row for row in rows if (row["margin, points"], row["psi, %"]) == (margin, psi)]
            if shown:
                rows_of_gate = [parse_number(row["n"]) for row in shown]
                passes = [parse_number(row["drop 0: PASS"]) for row in shown]
                _draw_line(axes, index, rows_of_gate, passes, f"budget {margin}")
        axes.axhline(80, color=ink, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        _write_words(axes, ink, x="gate rows", title=f"{psi} % of the answers change")
        if psi == "2":
            axes.set_ylabel("an equal variant passes, %", color=ink)
    _draw_legend(axes, ink, loc="lower right")


def draw_groups(figure: Figure, ink: str) -> None:
    """How often an equal variant can pass, by the number of groups."""
    rows = read_table("simulations/grouped_verdicts", "## PASS of an equal model")
    [axes] = _make_axes(figure, ink)
    margins = ("0.5", "1", "2", "5", "10")
    _draw_series(axes, rows, "groups", {f"{margin} points": f"budget {margin}" for margin in margins})
    axes.set_xscale("log")
    axes.set_xticks([20, 50, 150, 500, 2000], ["20", "50", "150", "500", "2,000"])
    axes.minorticks_off()
    _write_words(axes, ink, x="groups (documents, users, files)", y="an equal variant passes, %")
    _draw_legend(axes, ink, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_duels(figure: Figure, ink: str) -> None:
    """Verdicts on a speed budget by the speed of the variant, on machines of different noise."""
    speeds = {
        "PASS at the budget, %": 1.0,
        "PASS at 1.1 times the budget, %": 1.1,
        "PASS at 1.3 times the budget, %": 1.3,
        "PASS at 2 times the budget, %": 2.0,
    }
    rows = {row["machine"]: row for row in read_table("simulations/speed_verdicts", "## Every machine")}
    for axes, rounds in zip(_make_axes(figure, ink, columns=2), (12, 60), strict=True):
        for index, noise in enumerate(("0.5", "2", "10", "40")):
            row = rows[f"noise {noise} %, layout 1 %, {rounds} rounds"]
            passes = [parse_number(row[column]) for column in speeds]
            _draw_line(axes, index, list(speeds.values()), passes, f"noise {noise} %")
        axes.axhline(AIM, color=ink, linestyle="--", linewidth=1)
        _write_words(axes, ink, x="true speed-up / budget", title=f"{rounds} rounds")
        if rounds == 12:
            axes.set_ylabel("passes, %", color=ink)
    _draw_legend(axes, ink, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_choosing(figure: Figure, ink: str) -> None:
    """How often at least one of many variants that lost their whole budget passes."""
    rows = read_table("simulations/winners_curse", "## At least one variant at its budget passes")
    [axes] = _make_axes(figure, ink)
    columns = {
        "independent": "independent variants",
        "half of the changes shared": "half of the changes shared",
    }
    _draw_series(axes, rows, "variants at their budget", columns)
    axes.axhline(AIM, color=ink, linestyle="--", linewidth=1)
    axes.set_xticks([1, 2, 5, 10, 20])
    _write_words(axes, ink, x="variants that lost exactly their budget", y="at least one passes, %")
    _draw_legend(axes, ink, loc="upper left")


def draw_log_rules(figure: Figure, ink: str) -> None:
    """Other tools' rules on the same logs: wrong passes and wrong fails by the number of samples."""
    labels = {
        "slimgate PASS": "slimgate",
        "recovery rounded to 0.97": "recovery, two digits",
        "constant − 0.02": "constant − 0.02",
        "constant − 0.08": "constant − 0.08",
        "unpaired z": "unpaired z",
    }
    rows = read_table("simulations/log_rules", "## Runs that each rule passes")
    bad = [row for row in rows if row["true drop"] == "4"]
    good = [_compute_wrong_fails(row) for row in rows if row["true drop"] == "0"]
    left, right = _make_axes(figure, ink, columns=2)
    for axes, shown, title in (
        (left, bad, "a loss of twice the budget: passes"),
        (right, good, "an equal model: fails"),
    ):
        _draw_series(axes, shown, "samples", labels)
        axes.axhline(AIM, color=ink, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        _write_words(axes, ink, x="samples", title=title)
    left.set_ylabel("wrong verdicts, %", color=ink)
    _draw_legend(right, ink, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_frontier(figure: Figure, ink: str) -> None:
    """The drop and the speed-up of each variant on library_docs, with their intervals, by both clocks."""
    drops = {_read_name(row): row["library_docs, 4,000 rows"] for row in read_table("frontier", "## Result")}
    titles = {
        "forward call": "The next table gives speed-ups",
        "from text to answer": "The next table gives the same speed-ups",
    }
    panels = _make_axes(figure, ink, columns=2)
    for axes, (clock, title) in zip(panels, titles.items(), strict=True):
        for row, marker, colour in zip(read_table("frontier", title), "osD^v<>", (*LINES, ink), strict=True):
            (drop, *drop_arms), (speed, *speed_arms) = map(
                _parse_arms, (drops[_read_name(row)], row["1 × 25"])
            )
            axes.errorbar(
                [drop],
                [speed],
                xerr=[[arm] for arm in drop_arms],
                yerr=[[arm] for arm in speed_arms],
                fmt=marker,
                color=colour,
                label=_read_name(row),
                markersize=5,
                elinewidth=1,
            )
        for budget in (1, 2, 5):
            axes.axvline(budget, color=ink, linestyle="--", linewidth=0.7)
        axes.set_yscale("log")
        axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
        axes.minorticks_off()
        _write_words(axes, ink, x="accuracy drop, points", title=f"{clock}, one row of 25 tokens")
    panels[0].set_ylabel("times as fast as the teacher", color=ink)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=ink)


def draw_gguf(figure: Figure, ink: str) -> None:
    """KL of each GGUF type by the size of its file, and by the speed of an answer with one thread."""
    quality = {_read_name(row): row for row in read_table("gguf", "# Quantization types")}
    speed = {_read_name(row): row for row in read_table("gguf", "## Speed")}
    families = {
        "legacy types": r"q\d_\d",
        "K-quants": r"q\d_k(_\w)?",
        "IQ types": r"iq\w+",
        "ternary": r"tq\w+",
    }
    sizes = {name: parse_number(row["bytes"]) / MEGABYTE for name, row in quality.items()}
    rates = {name: parse_number(row["answer, 1 thr."]) for name, row in speed.items()}
    panels = _make_axes(figure, ink, columns=2)
    for axes, places in zip(panels, (sizes, rates), strict=True):
        axes.set_yscale("log")
        for (family, pattern), colour, marker in zip(families.items(), LINES, "so^v", strict=False):
            names = [name for name in quality if re.fullmatch(pattern, name)]
            points = [(places[name], parse_number(quality[name]["mean KL"])) for name in names]
            axes.plot(*zip(*points, strict=True), marker, color=colour, label=family, markersize=4)
            for at, (name, point) in enumerate(zip(names, points, strict=True)):
                side, shift = ("left", 4) if at % 2 else ("right", -4)
                axes.annotate(
                    name,
                    point,
                    xytext=(shift, 0),
                    textcoords="offset points",
                    ha=side,
                    va="center",
                    fontsize=6,
                    color=ink,
                )
    _write_words(panels[0], ink, x="size of the file, MB")
    _write_words(panels[1], ink, x="tokens of an answer a second, one thread")
    panels[0].set_ylabel("mean KL a token, nats", color=ink)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, labelcolor=ink)


def draw_cost_growth(figure: Figure, ink: str) -> None:
    """CPU seconds of each stage by the size of the work: variants, rows, slices, logs."""
    titles = (
        "Variants of a suite",
        "Gate rows",
        "Slices of",
        "Rows of two prediction",
        "Samples of two logs",
    )
    panels = figure.subplots(1, len(titles), sharey=True)
    for axes, title in zip(panels, titles, strict=True):
        rows = [
            row for row in read_table("cost_growth", f"## {title}") if not _read_name(row).startswith("slope")
        ]
        size, *stages = [name for name in rows[0] if name != "peak MB"]
        for stage, colour in zip(stages, itertools.cycle(LINES)):
            points = [(parse_number(row[size]), parse_number(row[stage])) for row in rows]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=stage[:-3])
        _set_style(axes, ink)
        axes.set(xscale="log", yscale="log", ylim=(0.05, None))
        _write_words(axes, ink, x=size)
        _draw_legend(axes, ink, fontsize=7)
    panels[0].set_ylabel("CPU seconds", color=ink)


def _read_name(row: Row) -> str:
    """The variant of a row: the cell in its first column."""
    return next(iter(row.values()))


def _parse_arms(cell: str) -> tuple[float, float, float]:
    """`2.1 [0.7, 3.5]` as the figure, and how far its interval reaches below and above."""
    value, low, high = map(parse_number, re.findall(r"-?[\d,.]*\d", cell)[:3])
    return value, value - low, high - value


def _compute_wrong_fails(row: Row) -> Row:
    """The row with the percentage that each rule fails; slimgate's INCONCLUSIVE is no FAIL."""
    rules = [name for name in row if name not in ("samples", "true drop", "slimgate PASS", "slimgate FAIL")]
    fails = {name: f"{100 - parse_number(row[name]):g}" for name in rules}
    return {**row, **fails, "slimgate PASS": row["slimgate FAIL"]}


PLOTS: Mapping[str, tuple[tuple[float, float], Callable[[Figure, str], None]]] = {
    "worst_cells": ((7.6, 8.4), draw_worst_cells),
    "rules": ((7.6, 3.0), draw_rules),
    "power": ((7.6, 3.0), draw_power),
    "groups": ((7.6, 3.0), draw_groups),
    "duels": ((7.6, 3.0), draw_duels),
    "choosing": ((7.6, 2.8), draw_choosing),
    "log_rules": ((7.6, 3.0), draw_log_rules),
    "frontier": ((7.6, 4.2), draw_frontier),
    "gguf": ((9.6, 4.6), draw_gguf),
    "cost_growth": ((9.6, 3.2), draw_cost_growth),
}
