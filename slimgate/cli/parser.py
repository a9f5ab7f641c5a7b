"""argparse's parser with "Did you mean" and examples, and arguments that several commands have."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, NoReturn

from slimgate.errors import did_you_mean

_RUN = "A run.json, or its folder, such as reports/latest/library_docs"
# The largest seed of NumPy's older generators, which Optuna uses.
_MAX_SEED = 2**32 - 1


def parse_points(text: str) -> float:
    """Parses percentage points of the command line. Raises argparse's error, with the expected form."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} was given, expected percentage points as a number, such as 2"
        ) from None


def parse_multiple(text: str) -> float:
    """Parses a multiple of the command line. Raises argparse's error, with the expected form."""
    return parse_positive(text, "a multiple above 0, such as 1.1 for 10 % more")


def parse_positive(text: str, expected: str) -> float:
    """Parses a number above 0. Raises argparse's error, with the expected form."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected {expected}")
    return value


def parse_seed(text: str) -> int:
    """Parses a seed of the command line. Raises argparse's error, with the expected form."""
    if not text.isdecimal() or int(text) > _MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected a whole number from 0 to {_MAX_SEED}")
    return int(text)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Adds the store, as `options.store`."""
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="Folder of the store (default: SLIMGATE_STORE, else .slimgate)",
    )


def choose_store_root(options: argparse.Namespace) -> Path:
    """The folder of the store, which may not exist."""
    return Path(options.store or os.environ.get("SLIMGATE_STORE") or ".slimgate")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds one run, as `options.record`."""
    parser.add_argument("record", type=Path, metavar="RUN", help=_RUN)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Adds one run or more, as `options.runs`."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=_RUN)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds a run and a model of it, as `options.record` and `options.variant`."""
    add_run(parser)
    parser.add_argument("variant", metavar="VARIANT", help="Name of a variant, or teacher")


class CommandParser(argparse.ArgumentParser):
    """The parser of the command line and of each command.

    examples: the common uses of a command that needs arguments. They end its help, and are printed if the
    command was given without arguments.
    """

    examples = ""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for action in (None, "store"):
            self.register("action", action, _StoreOnce)

    def parse_known_args(  # type: ignore[override]  # argparse types it for any namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, but an unknown option is an error of the command that got it."""
        arguments = list(sys.argv[1:] if args is None else args)
        if self.examples and not arguments:
            self.exit(2, f"{self.examples}\nSee {self.prog} --help for all options.\n")
        known, unknown = super().parse_known_args(arguments, namespace)
        if unknown:
            option = next((name for name in unknown if name.startswith("-")), unknown[0])
            near = did_you_mean(option.partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Prints the message alone: a usage of 20 lines would hide it."""
        end = "" if message.endswith("?") else "."
        self.exit(2, f"{self.prog}: {message}{end} See {self.prog} --help.\n")

    def format_help(self) -> str:
        """As argparse's, with the examples."""
        return super().format_help() + (f"\n{self.examples}" if self.examples else "")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = did_you_mean(str(value), map(str, action.choices or ()))
            raise argparse.ArgumentError(action, f"{error.message}{near}") from None


class _StoreOnce(argparse.Action):
    """Stores a value; a second one is an error, because argparse would silently use the last."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if option_string is not None and getattr(namespace, self.dest, self.default) is not self.default:
            raise argparse.ArgumentError(self, "it was given twice, expected it once")
        setattr(namespace, self.dest, values)
