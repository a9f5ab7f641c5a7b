"""Measures the pages of suites with many variants: CPU seconds to write, MB, milliseconds to open.

    python -m tools.measuring.page_cost --variants 10 200 --rows 20000

The tool invents outcomes of the variants, judges them as a suite does, and composes a record. Then it writes
each page as the pytest plugin does. If playwright and Debian's chromium are installed, chromium opens
`report.html`. "computing" is the CPU time of the page's thread, which does not depend on other processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from slimgate.record.run import RunRecord, format_record_json
from slimgate.report import format_suite_report
from slimgate.report.html import render_html_report
from slimgate.report.plots import write_plots
from slimgate.report.pr_comment import format_pr_comment
from slimgate.results.checks import TEACHER
from slimgate.suite.suite import Suite
from tools.measuring.cost_growth import (
    DIFFERENT,
    Seconds,
    compose_record,
    judge_all,
    make_suite,
    time_stage,
    write_stored_outcomes,
)

CHROMIUM = Path("/usr/bin/chromium")
WORDS = "a made up row of about as many words as a sentence has in a text that somebody wrote by hand"


def make_texts(places: Iterable[int]) -> list[str]:
    """Texts of gate rows, all different."""
    return [f"{place}: {WORDS}" for place in places]


def make_record(folder: Path, variants: int, rows: int) -> tuple[RunRecord, Seconds]:
    """Makes a judged record, with its outcomes in `folder`. Returns also the seconds of each stage."""
    seconds: Seconds = {}
    paths = write_stored_outcomes(folder, rows)
    suite = make_suite(folder, variants)
    _write_outcomes(folder / "outcomes", suite, paths)
    return compose_record(suite, judge_all(suite, paths, seconds), rows), seconds


def _write_outcomes(folder: Path, suite: Suite, paths: Sequence[Path]) -> None:
    folder.mkdir()
    shutil.copy(paths[0], folder / f"{TEACHER}.parquet")
    for place, name in enumerate(suite.variants):
        os.link(paths[1 + place % DIFFERENT], folder / f"{name}.parquet")


def measure_pages(folder: Path, variants: int, rows: int) -> list[list[str]]:
    """A line for each page: name, CPU seconds, MB."""
    record, seconds = make_record(folder, variants, rows)
    write: dict[str, Callable[[], str]] = {
        "run.json": lambda: format_record_json(record),
        "report.md": lambda: format_suite_report(record),
        "report.html": lambda: render_html_report(record, folder, make_texts),
        "pr-comment.md": lambda: format_pr_comment([record]),
    }
    lines = [["judging", f"{seconds['judge']:.1f}", "–"]]
    for name, write_page in write.items():
        with time_stage(seconds, name):
            (folder / name).write_text(write_page(), "utf-8")
        lines.append([name, f"{seconds[name]:.2f}", f"{(folder / name).stat().st_size / 1024**2:.2f}"])
    with time_stage(seconds, "plots"):
        plots = write_plots(record, folder / "plots")
    size = sum(path.stat().st_size for path in plots) / 1024**2
    return [*lines, [f"plots ({len(plots)})", f"{seconds['plots']:.2f}", f"{size:.2f}"]]


def measure_opening(page: Path) -> str:
    """A line such as `open after 120 ms, …`; without a browser, why the page was not opened."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "not opened: playwright is not installed"
    if not CHROMIUM.exists():
        return f"not opened: {CHROMIUM} is not installed"
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page()
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        tab.goto(page.as_uri())
        metrics = {
            metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]
        }
        loaded = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        browser.close()
    return f"open after {loaded:.0f} ms, {1000 * metrics['TaskDuration']:.0f} ms of them computing"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each number of variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--variants", type=int, nargs="+", default=[10, 200])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument(
        "--keep", type=Path, help="New folder in which the pages stay; needs one number of variants"
    )
    options = parser.parse_args(arguments)
    if options.keep is not None and len(options.variants) > 1:
        parser.error(f"--keep keeps one page: --variants {options.variants} was given, pass one number")
    for variants in options.variants:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            lines = measure_pages(folder, variants, options.rows)
            headers = [f"{variants:,} variants of {options.rows:,} rows", "CPU seconds", "MB"]
            table = tabulate(lines, headers, "pipe", disable_numparse=True)
            sys.stdout.write(f"{table}\n\nreport.html: {measure_opening(folder / 'report.html')}\n\n")
            sys.stdout.flush()
            if options.keep is not None:
                shutil.copytree(folder, options.keep)


if __name__ == "__main__":
    main()
