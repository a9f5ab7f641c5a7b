"""The command line of slimgate."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import slimgate
from slimgate._system.closed_pipes import ignore_closed_pipes
from slimgate._system.files import FULL
from slimgate._system.garbage import rare_collection
from slimgate._system.threads import limit_spinning
from slimgate.cli.parser import CommandParser
from slimgate.errors import SlimgateError

# Name -> the function that adds its arguments, and its help line. A command is imported when it is used.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("slimgate.cli.init.command:add_arguments", "Write a suite for your own model and rows"),
    "check": ("slimgate.cli.check:add_arguments", "Check suite files without running them"),
    "judge": ("slimgate.cli.judge.command:add_arguments", "Judge logs or predictions of other tools"),
    "tune": ("slimgate.cli.tune.command:add_arguments", "Search for the fastest variant inside a budget"),
    "explain": (
        "slimgate.cli.explain.command:add_arguments",
        "Show what every model of a run answered on one gate row",
    ),
    "compare": ("slimgate.cli.compare:add_arguments", "Compare two releases"),
    "accept": ("slimgate.cli.accept:add_arguments", "Keep a run as a baseline"),
    "merge": ("slimgate.cli.merge.command:add_arguments", "Join the shards of one run"),
    "report": ("slimgate.cli.runs:add_report", "Write the reports of a finished run again"),
    "card": ("slimgate.cli.runs:add_card", "Write a model card for a variant"),
    "export": (
        "slimgate.cli.export.command:add_arguments",
        "Write a variant as a folder that loads without slimgate",
    ),
    "weights": (
        "slimgate.cli.weights:add_arguments",
        "Show in which precision a model's weights are stored",
    ),
    "lines": ("slimgate.cli.runs:add_lines", "Print runs as JSON lines"),
    "machines": ("slimgate.cli.runs:add_machines", "Compare the speed-ups of one suite on several machines"),
    "mlflow": ("slimgate.cli.runs:add_mlflow", "Log runs to MLflow"),
    "store": ("slimgate.cli.store:add_arguments", "List, verify or prune the store"),
    "power": ("slimgate.cli.power:add_arguments", "Check whether N rows can decide a budget"),
    "portability": (
        "slimgate.cli.portability:add_arguments",
        "Check whether a variant passes on other processors",
    ),
    "steps": ("slimgate.cli.steps:add_arguments", "List the compression steps, or explain one"),
    "schema": ("slimgate.cli.schema:add_arguments", "Print the JSON Schema of a suite file or of run.json"),
}
WRONG_USAGE, INTERNAL_ERROR = 4, 3
_ABOUT = (
    "`pytest bench` builds, measures and judges compressed language models. These commands write a suite, "
    "judge results of other tools, and work on finished runs."
)


def make_command_parser(words: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The command line with all its commands. words: a command has its arguments if it is one of them."""
    parser = CommandParser(prog="slimgate", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"slimgate {slimgate.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (home, about) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=f"{about}.")
        if name in words:
            module, _, function = home.partition(":")
            getattr(import_module(module), function)(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Exit codes: 0 all budgets hold, 1 a budget does not, 4 wrong usage or input.

    3 is an error in slimgate, as in pytest: Python's own code for it, 1, would look like a verdict.
    """
    is_whole_process = arguments is None
    if is_whole_process:
        limit_spinning()
    with rare_collection() if is_whole_process else nullcontext(), ignore_closed_pipes() as problems:
        try:
            code = _run(arguments)
        except Exception:
            import traceback

            traceback.print_exc()
            code = INTERNAL_ERROR
    if problems:
        sys.stderr.write(f"slimgate: standard output cannot be written: {problems[0]}\n")
        return INTERNAL_ERROR if code == INTERNAL_ERROR else WRONG_USAGE
    return code


def _run(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe that is not UTF-8 cannot hold every character
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = make_command_parser(words).parse_args(words)
    except SystemExit as exit_:
        return WRONG_USAGE if exit_.code else 0
    # `python -m` and pytest look there for users' plug-ins; last, so that the folder hides no other module
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
        if error.filename is None and error.errno not in FULL:
            raise
        place = error.filename or "a file cannot be written"
        return _report_error(options.command, f"{place}: {error.strerror}")
    return code


def _report_error(command: str, problem: str) -> int:
    from slimgate._system.escape import escape_invisible

    sys.stderr.write(f"slimgate {command}: {escape_invisible(problem)}\n")
    return WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
