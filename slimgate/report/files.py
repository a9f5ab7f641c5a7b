"""Writes the reports of one record into its folder. The record may be of one run or of merged shards."""

from __future__ import annotations

from pathlib import Path

from slimgate._system.files import write_atomically
from slimgate.record.files import RECORD, StoredRecord, read_earlier_releases
from slimgate.record.run import RunRecord
from slimgate.report.history import draw_history, format_history, list_gated_metrics
from slimgate.report.markdown import format_suite_report
from slimgate.report.page.changed_rows import Texts
from slimgate.report.pictures import can_plot
from slimgate.report.plots import write_plots
from slimgate.report.pr_comment import format_pr_comment
from slimgate.report.since_baseline import COMPARISON

# More columns and marks are not distinguishable.
_MOST_RELEASES = 12
PR_COMMENT = "pr-comment.md"
REPORTS = ("report.md", PR_COMMENT, "report.html", COMPARISON)


def write_reports(
    record: RunRecord,
    folder: Path,
    texts: Texts | None,
    *,
    answers: Path | None = None,
    baseline: Path | None = None,
) -> None:
    """Writes report.md, pr-comment.md, report.html and plots.

    Args:
        record: of the run.
        folder: the folder to write to.
        texts: gives short quotes of gate rows, by their positions.
        answers: the folder of run.json and outcomes/, if it is not `folder`.
        baseline: the baseline's run.json, if it is not in the place that the record states; the releases next
            to it are shown as history.
    """
    from slimgate.report.html import render_html_report

    releases = _list_releases(record, baseline)
    paths, drawn = list[str](), None
    if can_plot():
        paths = [f"plots/{plot.name}" for plot in write_plots(record, folder / "plots")]
        if releases and list_gated_metrics(releases):
            drawn = f"plots/{draw_history(releases, folder / 'plots' / 'history.svg').name}"
    write_atomically(
        folder / "report.md", format_suite_report(record, paths, format_history(releases, drawn))
    )
    write_atomically(folder / PR_COMMENT, format_pr_comment([record]))
    write_atomically(
        folder / "report.html",
        render_html_report(record, answers or folder, texts, releases=releases),
    )


def write_comparison(record: RunRecord, folder: Path, baseline: StoredRecord, name: str) -> None:
    """Writes compare.md: what changed since the baseline of this name, with the drift of the teacher apart.

    folder: the folder of run.json and outcomes/, to which it writes.
    """
    from slimgate.record.comparing.releases import compare
    from slimgate.report.compare import format_release_comparison

    comparison = compare(baseline, StoredRecord(folder / RECORD, record))
    named = {"old": name, "new": "this run"}
    releases = {
        side: getattr(comparison, side).model_copy(update={"name": name}) for side, name in named.items()
    }
    write_atomically(folder / COMPARISON, format_release_comparison(comparison.model_copy(update=releases)))


def _list_releases(record: RunRecord, baseline: Path | None) -> list[StoredRecord]:
    """The newest releases and this run, the oldest first; empty for fewer than two releases before it."""
    if record.baseline is None:
        return []
    earlier = read_earlier_releases(record, baseline or Path(record.baseline.path))
    if len(earlier) < 2:  # the only one is the baseline, which the report compares with anyway
        return []
    return [*earlier[-_MOST_RELEASES:], StoredRecord(Path("this run"), record)]
