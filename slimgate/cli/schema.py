"""`slimgate schema`: the JSON Schemas of suite files and of run.json, for editors and other programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

SUITE, LOGS, RUN = "suite", "logs", "run"
KINDS = (SUITE, LOGS, RUN)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.add_argument(
        "kind",
        nargs="?",
        choices=KINDS,
        default=SUITE,
        help="Kind of file. suite: a suite of models; logs: a suite with [logs]; run: a run.json",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the schema."""
    json.dump(make_schema(options.kind), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


def make_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of one of KINDS."""
    from slimgate.logs.schema import make_logs_schema
    from slimgate.record.schema import make_run_schema
    from slimgate.suite.schema import make_suite_schema

    return {SUITE: make_suite_schema, LOGS: make_logs_schema, RUN: make_run_schema}[kind]()
