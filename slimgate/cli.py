"""slimgate on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import slimgate


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Exit codes: 0 done, 4 wrong usage."""
    parser = argparse.ArgumentParser(prog="slimgate", description=slimgate.__doc__)
    parser.add_argument("--version", action="version", version=f"slimgate {slimgate.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("schema", help="print the JSON Schema of a suite file, for editors")
    try:
        parser.parse_args(arguments)
    except SystemExit as exit_:
        return 4 if exit_.code else 0
    from slimgate.schema import suite_schema

    json.dump(suite_schema(), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
