"""slimgate on the command line."""

from __future__ import annotations

import argparse
import io
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import slimgate
from slimgate._system.closed_pipes import ignore_closed_pipes
from slimgate.cli import (
    accept,
    card,
    check,
    compare,
    explain,
    merge,
    portability,
    power,
    report,
    runs,
    schema,
    steps,
    store,
)
from slimgate.cli.export import command as export
from slimgate.cli.init import command as init
from slimgate.cli.judge import command as judge
from slimgate.cli.parser import CommandParser
from slimgate.cli.tune import command as tune
from slimgate.errors import SlimgateError

COMMANDS = (
    init.add_to,
    check.add_to,
    judge.add_to,
    tune.add_to,
    explain.add_to,
    compare.add_to,
    accept.add_to,
    merge.add_to,
    report.add_to,
    card.add_to,
    export.add_to,
    runs.add_lines,
    runs.add_machines,
    runs.add_mlflow,
    store.add_to,
    power.add_to,
    portability.add_to,
    steps.add_to,
    schema.add_to,
)
WRONG_USAGE, INTERNAL_ERROR = 4, 3
_ABOUT = (
    "`pytest bench` builds, measures and judges compressed language models. These commands write a suite, "
    "judge results of other tools, and work on finished runs."
)


def command_parser() -> argparse.ArgumentParser:
    """The command line with all its commands and options."""
    parser = CommandParser(prog="slimgate", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"slimgate {slimgate.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_to in COMMANDS:
        add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Exit codes: 0 all budgets hold, 1 a budget does not, 4 wrong usage or input.

    3 is an error in slimgate, as in pytest: Python's own code for it, 1, would look like a verdict.
    """
    with ignore_closed_pipes():
        try:
            return _run(arguments)
        except Exception:
            traceback.print_exc()
            return INTERNAL_ERROR


def _run(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe that is not UTF-8 cannot hold every sign
            stream.reconfigure(errors="backslashreplace")
    try:
        options = command_parser().parse_args(arguments)
    except SystemExit as exit_:
        return WRONG_USAGE if exit_.code else 0
    # where `python -m` and pytest look for plug-ins of one's own; last, so that it hides nothing
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        code: int = options.run(options)
    except SlimgateError as error:
        return _report_error(options.command, str(error))
    except ModuleNotFoundError as error:
        from slimgate._system.requirements import describe_missing_module

        missing = describe_missing_module("this command", error.name or "")
        if missing is None:
            raise
        return _report_error(options.command, missing)
    except OSError as error:
        if error.filename is None:
            raise
        return _report_error(options.command, f"{error.filename}: {error.strerror}")
    return code


def _report_error(command: str, problem: str) -> int:
    from slimgate._system.escape import visible

    sys.stderr.write(f"slimgate {command}: {visible(problem)}\n")
    return WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
