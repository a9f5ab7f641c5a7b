"""The page of the command line: argparse's arguments, and the options and ini values of the pytest plugin."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slimgate import plugin
from slimgate.cli.main import make_command_parser
from tools.reference.markdown import format_code, format_contents, format_plain_line, format_table

CODES = (
    "Exit codes: 0 all budgets hold; 1 a budget does not hold or cannot be decided; 4 wrong usage or input."
)
PYTEST = "Suites are test files, so all of pytest's own options work on them; these are slimgate's."


class PytestOptions:
    """Takes the place of pytest's parser in `pytest_addoption`, and collects what is added."""

    def __init__(self) -> None:
        self.options: dict[str, Mapping[str, Any]] = {}
        self.ini: dict[str, Mapping[str, Any]] = {}

    def getgroup(self, *_: str) -> PytestOptions:
        """Returns itself, because all groups are listed together."""
        return self

    def addoption(self, name: str, **about: Any) -> None:
        """Collects an option of the command line."""
        self.options[name] = about

    def addini(self, name: str, help: str, **about: Any) -> None:
        """Collects a value of pytest.ini."""
        self.ini[name] = {"help": help, **about}


def list_pytest_options() -> PytestOptions:
    """The options that the plugin adds to pytest."""
    options: Any = PytestOptions()
    plugin.pytest_addoption(options)
    return options  # type: ignore[no-any-return]


def list_subcommands() -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Name of a command -> its parser, and its line of help."""
    [sub] = [a for a in make_command_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    about = {action.dest: str(action.help) for action in sub._choices_actions}
    return {name: (parser, about[name]) for name, parser in sub.choices.items()}


def list_arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """A command's arguments and options, without --help."""
    return [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]


def make_commands_page() -> str:
    """reference/commands.md"""
    commands = list_subcommands()
    listed = {f"slimgate {name}": about for name, (_, about) in commands.items()}
    parts = [
        "# Commands",
        CODES,
        format_contents({**listed, "pytest": "runs suites"}, ("command", "what it does")),
    ]
    for name, (parser, about) in commands.items():
        parts += [
            f"## slimgate {name}",
            format_plain_line(parser.description or f"{about[0].upper()}{about[1:]}."),
        ]
        rows = [_format_argument(action) for action in list_arguments(parser)]
        parts.append(format_table(("argument", "value", "default", ""), rows) if rows else "No arguments.")
    parts += [
        "## pytest",
        PYTEST,
        format_table(("option", "default", ""), _format_pytest_rows()),
        *_format_ini_options(),
    ]
    return "\n\n".join(parts) + "\n"


def _format_argument(action: argparse.Action) -> tuple[str, ...]:
    name = ", ".join(map(format_code, action.option_strings)) or format_code(
        action.metavar or action.dest.upper()
    )
    value = "" if action.nargs == 0 or not action.option_strings else _format_value(action)
    if action.choices and not action.option_strings:
        value = _format_value(action)
    if action.nargs == "+":
        value = "one or more"
    elif action.nargs == "?":
        value = "may be left out"
    default = "" if action.default in (None, False, argparse.SUPPRESS) else format_code(action.default)
    return name, value, default, format_plain_line(_format_help(action))


def _format_help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _format_value(action: argparse.Action) -> str:
    choices: Sequence[str] = tuple(action.choices or ())
    return " ".join(map(format_code, choices)) or format_code(action.metavar or action.dest.upper())


def _format_pytest_rows() -> Iterator[tuple[str, ...]]:
    for name, about in list_pytest_options().options.items():
        shown = f"{name} {about['metavar']}" if "metavar" in about else name
        default = format_code(about["default"]) if about.get("default") else ""
        yield format_code(shown), default, format_plain_line(about["help"])


def _format_ini_options() -> list[str]:
    rows = [
        (format_code(name), format_code(" ".join(about["default"])), format_plain_line(about["help"]))
        for name, about in list_pytest_options().ini.items()
    ]
    return [
        "In `pytest.ini`, or `[tool.pytest.ini_options]` of `pyproject.toml`:",
        format_table(("ini", "default", ""), rows),
    ]
