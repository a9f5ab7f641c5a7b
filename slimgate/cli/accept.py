"""`slimgate accept RUN --name v1.2`: keeps a run as a baseline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slimgate.cli.options import add_run

DESCRIPTION = """\
Keeps a run's record and outcomes as a baseline, reports/baselines/NAME/SUITE/, to be committed: what later
releases are compared with (`slimgate compare reports/baselines RUN`, `pytest --slimgate-baseline FILE`).
--reason is wanted for a run that is FAIL or failed by an undecided budget, for a record that is partial (some
checks have not run, or results are of an earlier run), and where the gate demands less than the newest
baseline of the suite: looser or fewer budgets, variants, rows, settings; it is kept, and shown by
`slimgate compare`.
Exit codes: 0 kept, 4 wrong usage or input, a name that is taken, or a missing reason.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_run(parser)
    parser.add_argument("--name", required=True, help="of the release, such as v1.2")
    parser.add_argument("--reason", help="why this run is kept although it fails, or allows more")
    parser.add_argument(
        "--baselines",
        type=Path,
        metavar="DIR",
        default=Path("reports/baselines"),
        help="where baselines are kept (default: reports/baselines)",
    )
    parser.add_argument("--force", action="store_true", help="replace the baseline of that name")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Keeps the run and says where. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import visible
    from slimgate._system.timestamps import format_now
    from slimgate.record.accept import accept
    from slimgate.record.earlier_results import describe_state
    from slimgate.record.files import read_record_file

    run_ = read_record_file(options.record)
    baseline = accept(
        run_, options.baselines, options.name, reason=options.reason, at=format_now(), force=options.force
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
    sys.stdout.writelines(f"{visible(line)}\n" for line in lines)
    return 0
