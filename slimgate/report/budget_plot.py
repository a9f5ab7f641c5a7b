"""A forest plot of all gated budgets: intervals as shares of what each budget allows. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

from slimgate.judge.verdict import Verdict
from slimgate.record import RunRecord
from slimgate.report.page.budgets import ModelBudget, rank_budgets
from slimgate.report.pictures import picture
from slimgate.report.status import models

BUDGETS = "budgets"
_MOST_LINES = 30
_WIDTH, _LINE_HEIGHT = 9.0, 0.28
_LONGEST = 60
# Colour and marker differ, so that the plot can be read without colours.
_MARKS = {
    Verdict.PASS: ("#009E73", "o"),
    Verdict.INCONCLUSIVE: ("#E69F00", "D"),
    Verdict.FAIL: ("#D55E00", "X"),
}


def draw_budgets(record: RunRecord, folder: Path) -> Path | None:
    """Writes budgets.svg, the worst budgets first; None if fewer than two were judged."""
    lines = [line for line in rank_budgets(models(record)) if line.budget.margin and line.budget.verdict]
    if len(lines) < 2:
        return None
    lines, hidden = lines[:_MOST_LINES], len(lines) - _MOST_LINES
    path = folder / f"{BUDGETS}.svg"
    with picture(path, (_WIDTH, _LINE_HEIGHT * len(lines) + 1.3)) as figure:
        axes = figure.add_subplot()
        for place, line in enumerate(lines):
            margin = line.budget.margin
            if margin is None or line.budget.verdict is None:
                continue
            colour, marker = _MARKS[line.budget.verdict]
            value = min(100.0, max(0.0, margin.value))
            reach = [[max(0.0, value - margin.low)], [max(0.0, margin.high - value)]]
            axes.errorbar([value], [place], xerr=reach, fmt=marker, color=colour, capsize=3, markersize=5)
        axes.axvline(50, color="black", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(lines)), [_label(line) for line in lines], fontsize=8)
        axes.set_xticks(
            [0, 50, 75, 100], ["outside", "limit", "half of it left", "all of it left"], fontsize=8
        )
        axes.set(xlim=(-3, 103), ylim=(len(lines) - 0.4, -0.6))
        more = f", the worst {_MOST_LINES} of {_MOST_LINES + hidden}" if hidden > 0 else ""
        axes.set_title(f"What each budget leaves{more}: right of the line is inside", fontsize=10)
        axes.grid(axis="x", alpha=0.25)
    return path


def _label(line: ModelBudget) -> str:
    text = f"{line.model}: {line.budget.name}, {line.budget.measured}".replace("\\", "")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
