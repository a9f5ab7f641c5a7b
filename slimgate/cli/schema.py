"""`slimgate schema`: the JSON Schema of a suite, for editors."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


def add_to(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("schema", help="print the JSON Schema of a suite file, for editors")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:  # noqa: ARG001
    """Prints the schema."""
    from slimgate.suite.schema import make_suite_schema

    json.dump(make_suite_schema(), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0
