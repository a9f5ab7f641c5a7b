"""argparse's parser with "Did you mean", and with examples for a command without arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from slimgate.errors import did_you_mean


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
