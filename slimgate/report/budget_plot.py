"""A forest plot of all gated budgets: intervals as shares of what each budget allows. Needs matplotlib.

The scale has the limit of each budget at 50.
"""

from __future__ import annotations

from pathlib import Path

from slimgate.record.run import RunRecord
from slimgate.report.page.budgets import ModelBudget, rank_budgets
from slimgate.report.pictures import picture
from slimgate.report.status import list_models
from slimgate.results.base import Verdict

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
    judged = [
        (line, line.budget.margin, _MARKS[line.budget.verdict])
        for line in rank_budgets(list_models(record))
        if line.budget.margin is not None and line.budget.verdict is not None
    ]
    if len(judged) < 2:
        return None
    shown = judged[:_MOST_LINES]
    path = folder / f"{BUDGETS}.svg"
    with picture(path, (_WIDTH, _LINE_HEIGHT * len(shown) + 1.3)) as figure:
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
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
