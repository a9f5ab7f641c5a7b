"""`slimgate lines RUN…`: runs as JSON lines, for a dashboard."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from slimgate.cli.options import add_runs

DESCRIPTION = """\
Prints runs as JSON lines: one flat object for each metric, workload, size and memory of each model, with the
run on every line and the same keys everywhere; what was not measured is null. docs/ci.md has the columns.
Exit codes: 0 printed, 4 wrong usage or input.
"""


def add_to(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("lines", help="print runs as JSON lines", description=DESCRIPTION)
    add_runs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reads all runs, then prints their lines. Raises SlimgateError for wrong input."""
    from slimgate.record.files import read_record_file
    from slimgate.record.lines import lines

    records = [read_record_file(path).record for path in options.runs]
    for record in records:
        sys.stdout.writelines(line.model_dump_json() + "\n" for line in lines(record))
    return 0
