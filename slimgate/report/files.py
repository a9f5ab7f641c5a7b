"""Writes the reports of one record into its folder. The record may be of one run or of merged shards."""

from __future__ import annotations

from pathlib import Path

from slimgate._system.files import write_atomically
from slimgate.record import RunRecord
from slimgate.report.budget_plot import draw_budgets
from slimgate.report.markdown import suite_report
from slimgate.report.page.changed_rows import Texts
from slimgate.report.pictures import can_plot
from slimgate.report.plots import write_plots
from slimgate.report.pr_comment import pr_comment

PR_COMMENT = "pr-comment.md"


def write_reports(
    record: RunRecord, folder: Path, texts: Texts | None, *, answers: Path | None = None
) -> None:
    """Writes report.md, pr-comment.md, report.html and plots.

    Args:
        record: of the run.
        folder: where the files go.
        texts: gives short quotes of gate rows, by their positions.
        answers: the folder of run.json and outcomes/, if it is not `folder`.
    """
    from slimgate.report.html import html_report

    plots = _write_plots(record, folder / "plots") if can_plot() else []
    write_atomically(folder / "report.md", suite_report(record, [f"plots/{plot.name}" for plot in plots]))
    write_atomically(folder / PR_COMMENT, pr_comment([record]))
    write_atomically(folder / "report.html", html_report(record, answers or folder, texts))


def _write_plots(record: RunRecord, folder: Path) -> list[Path]:
    budgets = draw_budgets(record, folder)
    return [*([] if budgets is None else [budgets]), *write_plots(record, folder)]
