"""`slimgate accept RUN --name v1.2`: keeps a run as a baseline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slimgate.cli.parser import add_run

DESCRIPTION = """\
Copies a run's record and outcomes to reports/baselines/NAME/SUITE/. Commit that folder: `slimgate compare
reports/baselines RUN` and `pytest --slimgate-baseline FILE` compare later releases with it. --reason is
required if the run failed or its record is partial (some checks did not run, or some results come from an
earlier run). It is also required if the gate is weaker than the suite's newest baseline: looser or fewer
budgets, fewer variants, other rows or settings, a worse base in judged files. The reason is stored, and
`slimgate compare` shows it. Exit codes: 0 kept; 4 wrong usage or input, NAME is taken, or --reason is
missing.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_run(parser)
    parser.add_argument("--name", required=True, help="Name of the release, such as v1.2")
    parser.add_argument(
        "--reason", help="Reason to accept a run that fails, or whose gate demands less than the baseline's"
    )
    parser.add_argument(
        "--baselines",
        type=Path,
        metavar="DIR",
        default=Path("reports/baselines"),
        help="Folder of the baselines (default: reports/baselines)",
    )
    parser.add_argument("--force", action="store_true", help="Replace an existing baseline of the same name")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Keeps the run and says where. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import write_lines
    from slimgate._system.timestamps import format_now
    from slimgate.record.accept import accept
    from slimgate.record.earlier_results import describe_state
    from slimgate.record.files import read_record_file

    stored_run = read_record_file(options.record)
    baseline = accept(
        stored_run,
        options.baselines,
        options.name,
        reason=options.reason,
        at=format_now(),
        force=options.force,
    )
    lines = [
        f"{baseline.file.parent.as_posix()}: {baseline.record.verdict.status}, of {baseline.record.created}"
    ]
    if state := describe_state(baseline.record):
        lines.append(state)
    accepted = baseline.record.accepted
    lines += [
        f"weaker: {weakening.change}: {weakening.reason}"
        for weakening in (accepted.weaker if accepted else ())
    ]
    if baseline.record.verdict.inconclusive:
        lines.append(f"undecided in this run: {baseline.record.verdict.inconclusive} budgets")
    write_lines(sys.stdout, lines)
    return 0
