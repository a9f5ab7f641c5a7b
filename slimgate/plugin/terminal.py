"""What slimgate prints on pytest's terminal, and on the page of a GitHub workflow."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimgate.plugin.config import find_project_root, read_shard_option

if TYPE_CHECKING:
    from slimgate.plugin.session import Session
    from slimgate.report.terminal.summary import Line
    from slimgate.suite.suite import Suite


def print_head(config: pytest.Config, state: Session, suite: Suite, reporter: Any) -> None:
    """Prints the plan of the suite with --slimgate-plan, else what this run will judge."""
    from slimgate.plugin.plan_text import list_head_lines, list_plan_lines

    run, earlier = state.find_run(suite), state.find_last_record(suite)
    run.learn_times(earlier)
    if (shard := read_shard_option(config)) is not None:
        from slimgate.run.shards import list_shard_variants

        variants = ", ".join(list_shard_variants(run.suite, shard)) or "no variant, the teacher alone"
        reporter.write_line(f"{run.suite.shown}: shard {shard}: {variants}")
    if config.getoption("slimgate_plan"):
        write_lines(reporter, list_plan_lines(run, earlier, width=find_width(reporter)))
    elif state.confirmation is None:
        state.digest_inputs(run.suite)  # reads them before anything is built
        for line in list_head_lines(run, earlier, quiet=config.get_verbosity() < 0):
            reporter.write_line(line)


def print_log_suites(state: Session, reporter: Any) -> None:
    for log_suite in state.logs.suites.values() if reporter is not None else ():
        reporter.write_line(
            f"{log_suite.shown}: its logs are already written, so there is nothing to plan; "
            "`slimgate power` says how many rows a budget needs"
        )


def write_lines(reporter: pytest.TerminalReporter, lines: Iterable[Line]) -> None:
    """Writes lines with styles. pytest's writer drops the styles if the terminal has no colour."""
    for line in lines:
        for text, style in line:
            reporter.write(text, **({style: True} if style else {}))
        reporter.line("")


def find_width(reporter: pytest.TerminalReporter) -> int | None:
    """The width of the terminal; None in a pipe, where lines need not fit."""
    return reporter.config.get_terminal_writer().fullwidth if reporter.isatty() else None


def annotate_github(state: Session, terminalreporter: pytest.TerminalReporter) -> None:
    """Prints annotations on the files of the suites, and appends the comment to the summary of the step."""
    from slimgate.report.github import append_summary, list_budget_annotations

    root = os.environ.get("GITHUB_WORKSPACE") or str(find_project_root(terminalreporter.config))
    for path, record in state.written_records.items():
        for line in list_budget_annotations(record, Path(os.path.relpath(path, root)).as_posix()):
            terminalreporter.write_line(line)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            append_summary(Path(summary), state.format_comment())
        except OSError as error:  # a container may lack the file, which must not fail the run
            terminalreporter.write_line(f"slimgate: no summary of the step was written: {error}")
