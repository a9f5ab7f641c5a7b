"""The page of the command line: argparse's arguments, and the options and ini values of the pytest plugin."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slimgate import plugin
from slimgate.cli.main import command_parser
from tools.reference.markdown import code, contents, table, to_plain_line

CODES = (
    "Exit codes: 0 all budgets hold; 1 a budget does not hold or cannot be decided; 4 wrong usage or input."
)
PYTEST = "Suites are test files, so all of pytest's own options work on them; these are slimgate's."


class PytestOptions:
    """What `pytest_addoption` is given: it keeps what is added."""

    def __init__(self) -> None:
        self.options: dict[str, Mapping[str, Any]] = {}
        self.ini: dict[str, Mapping[str, Any]] = {}

    def getgroup(self, *_: str) -> PytestOptions:
        """All groups are one."""
        return self

    def addoption(self, name: str, **about: Any) -> None:
        """An option of the command line."""
        self.options[name] = about

    def addini(self, name: str, help: str, **about: Any) -> None:
        """A value of pytest.ini."""
        self.ini[name] = {"help": help, **about}


def pytest_options() -> PytestOptions:
    """The options that the plugin adds to pytest."""
    options: Any = PytestOptions()
    plugin.pytest_addoption(options)
    return options  # type: ignore[no-any-return]


def subcommands() -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Name of a command -> its parser, and its line of help."""
    [sub] = [a for a in command_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    about = {action.dest: str(action.help) for action in sub._choices_actions}
    return {name: (parser, about[name]) for name, parser in sub.choices.items()}


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """A command's arguments and options, without --help."""
    return [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]


def commands_page() -> str:
    """reference/commands.md"""
    commands = subcommands()
    listed = {f"slimgate {name}": about for name, (_, about) in commands.items()}
    parts = ["# Commands", CODES, contents({**listed, "pytest": "runs suites"}, ("command", "what it does"))]
    for name, (parser, about) in commands.items():
        parts += [
            f"## slimgate {name}",
            to_plain_line(parser.description or f"{about[0].upper()}{about[1:]}."),
        ]
        rows = [_argument(action) for action in arguments_of(parser)]
        parts.append(table(("argument", "value", "default", ""), rows) if rows else "No arguments.")
    parts += ["## pytest", PYTEST, table(("option", "default", ""), _pytest_rows()), *_ini()]
    return "\n\n".join(parts) + "\n"


def _argument(action: argparse.Action) -> tuple[str, ...]:
    name = ", ".join(map(code, action.option_strings)) or code(action.metavar or action.dest.upper())
    value = "" if action.nargs == 0 or not action.option_strings else _value(action)
    if action.choices and not action.option_strings:
        value = _value(action)
    if action.nargs == "+":
        value = "one or more"
    elif action.nargs == "?":
        value = "may be left out"
    default = "" if action.default in (None, False, argparse.SUPPRESS) else code(action.default)
    return name, value, default, to_plain_line(_help(action))


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _value(action: argparse.Action) -> str:
    choices: Sequence[str] = tuple(action.choices or ())
    return " ".join(map(code, choices)) or code(action.metavar or action.dest.upper())


def _pytest_rows() -> Iterator[tuple[str, ...]]:
    for name, about in pytest_options().options.items():
        shown = f"{name} {about['metavar']}" if "metavar" in about else name
        default = code(about["default"]) if about.get("default") else ""
        yield code(shown), default, to_plain_line(about["help"])


def _ini() -> list[str]:
    rows = [
        (code(name), code(" ".join(about["default"])), to_plain_line(about["help"]))
        for name, about in pytest_options().ini.items()
    ]
    return [
        "In `pytest.ini`, or `[tool.pytest.ini_options]` of `pyproject.toml`:",
        table(("ini", "default", ""), rows),
    ]
