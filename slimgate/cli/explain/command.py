"""`slimgate explain RUN ROW`: shows what every model of a run answered on one gate row."""

from __future__ import annotations

import argparse
import sys

from slimgate.cli.parser import add_run

DESCRIPTION = """\
Shows what the teacher and every variant answered on one gate row: the answer, its probability, and how it
differs from the teacher's. For tasks other than classification, shows the values that were measured for the
row. Reads run.json and the outcomes/*.parquet files next to it, and builds nothing. Exit codes: 0 shown; 4
wrong usage or input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_run(parser)
    parser.add_argument("row", metavar="ROW", help="Id of the gate row, or its number, counted from 0")
    parser.add_argument("--json", action="store_true", help="Print the answers as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Finds the row and prints it. Raises SlimgateError for wrong input."""
    from slimgate.cli.explain.row import find_row, format_row, format_row_json

    explained = find_row(options.record, options.row)
    sys.stdout.write((format_row_json(explained) if options.json else format_row(explained)) + "\n")
    return 0
