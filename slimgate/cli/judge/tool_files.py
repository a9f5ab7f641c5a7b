"""`slimgate judge` on load tests and KL logs of other tools.

For load tests, `slimgate judge BASE TARGET` judges how much faster the target is. A KL log holds base and
target, and `slimgate judge FILE` judges budgets on KL.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from slimgate._system.escape import escape_invisible
from slimgate.cli.judge.arguments import name_targets, refuse_options
from slimgate.cli.judge.budgets import read_budgets_of_targets
from slimgate.cli.judge.ending import finish
from slimgate.cli.judge.environment import add_environments, explain_environment
from slimgate.logs.file_budgets import KL, LOADS
from slimgate.logs.judged import JudgedFiles
from slimgate.logs.judged_kl_log import JudgedKlLogs
from slimgate.logs.judged_loads import judge_load_tests
from slimgate.logs.load_tests import check_allowed_in_loads
from slimgate.logs.same_run import LogFiles
from slimgate.plugins.reader import Log
from slimgate.report.tool_files import list_figure_notes, list_figure_rows
from slimgate.results.counts import format_verdict


def format_tool_files(judged: JudgedFiles, origin: str) -> str:
    """For each target its table, the lines of its budgets, notes and verdict.

    origin: a description of the files that follows the target's name.
    """
    return "\n\n".join(
        block for name in judged.targets for block in _format_blocks(judged, name, origin) if block
    )


def _format_blocks(judged: JudgedFiles, name: str, origin: str) -> Iterator[str]:
    target = judged.targets[name]
    rows = [{head: escape_invisible(cell) for head, cell in row.items()} for row in list_figure_rows(target)]
    yield escape_invisible(f"{name}{origin}")
    yield tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)
    yield "\n".join(
        escape_invisible(result.facts.message) for result in target.results() if result.facts.message
    )
    yield "\n".join(f"note: {escape_invisible(note)}" for note in list_figure_notes(target))
    yield format_verdict(judged.judge_target(name))


def judge_kl_file(options: argparse.Namespace, log: Log) -> int:
    """Judges and prints. Raises SlimgateError for wrong input."""
    refuse_options(options, KL, "kl = { mean_max = 0.02 }")
    paths = name_targets([options.teacher])
    [name] = paths
    budgets = read_budgets_of_targets(options, KL, paths)
    judged = JudgedKlLogs({name: log}, budgets, options.on_inconclusive)
    return finish(options, judged, lambda: format_tool_files(judged, f", read as a KL log of {log.tool}"))


def judge_load_files(options: argparse.Namespace, base: Log) -> int:
    """Judges load tests and prints the result. Raises SlimgateError for wrong input."""
    accepted = ("allow", "repeat", "explain_environment")
    refuse_options(options, LOADS, "latency = { speedup_min = 1.2 }", accepted=accepted)
    check_allowed_in_loads(options.allow or ())
    targets = name_targets(options.variants)
    files = LogFiles(
        [options.teacher], {name: [path] for name, path in targets.items()}, options.repeat, options.format
    )
    budgets = read_budgets_of_targets(options, LOADS, targets)
    judged = judge_load_tests(base, files, budgets, options.allow or (), options.on_inconclusive)
    details: dict[str, dict[str, Any]] = {}
    if options.explain_environment:
        changes = {name: explain_environment(options, name, base, log) for name, log in judged.logs.items()}
        details = add_environments({}, changes)
    origin = f" against {base.shown}, read as load tests of {base.tool}"
    return finish(options, judged, lambda: format_tool_files(judged, origin), details)
