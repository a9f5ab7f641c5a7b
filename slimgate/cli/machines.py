"""`slimgate machines RUN…`: the speed-ups of one suite on several machines."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from slimgate.cli.options import add_runs

DESCRIPTION = """\
Prints the speed-ups of one suite on several machines as markdown: what each machine gives, then a table for
each workload, with the lowest bound of all. A ratio of two runtimes belongs to its machine: run the suite on
each machine that you ship to, and give the records here. Exit codes: 0 printed, 4 wrong usage or input.
"""


def add_to(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "machines", help="show the speed-ups of several machines", description=DESCRIPTION
    )
    add_runs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reads all runs, then prints the page. Raises SlimgateError for wrong input."""
    from slimgate.record.files import read_record_file
    from slimgate.report.machines import machines_text

    sys.stdout.write(machines_text([read_record_file(path) for path in options.runs]))
    return 0
