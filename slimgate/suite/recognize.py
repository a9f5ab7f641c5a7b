"""Recognizes suites among TOML files, by their tables. It imports the parser only when it reads a file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimgate.errors import SuiteError, did_you_mean

# A line that begins a table [suite] or [logs], or a key suite = … or suite.x = …, in upper or lower case.
SUITE_TABLE = re.compile(
    rb"""^\s*(\[+\s*["']?(suite|logs)\b|["']?(suite|logs)["']?\s*[.=])""", re.MULTILINE | re.IGNORECASE
)
# Other tables of slimgate's suites. A [suite] alone may belong to another tool.
OTHER_TABLES = frozenset({"task", "teacher", "variants", "budgets"})
_HEADS = ("suite", "logs")


def has_logs(path: Path) -> bool:
    """Whether the file is a suite that judges logs; False if it is not TOML."""
    from slimgate.suite.file import parse_toml

    try:
        return is_log_suite(parse_toml(path, path.name))
    except SuiteError:
        return False


def is_log_suite(data: Mapping[str, object]) -> bool:
    """Whether the tables are those of a suite that judges logs."""
    return "logs" in data and "suite" not in data


def is_suite(path: Path, shown: str, *, expected: bool) -> bool:
    """Whether a TOML file has a [suite] table. TOML files of other tools give False.

    expected: the user named the file, so a file without [suite] is an error.
    Raises SuiteError also for a file that was probably meant as a suite: one that is not valid TOML but has a
    line with [suite], or one with a table [Suite].
    """
    from slimgate.suite.file import parse_toml

    try:
        data = parse_toml(path, shown)
    except SuiteError:
        if expected or has_suite_table(path):
            raise
        return False
    if "suite" in data:
        if path.name.startswith("_"):
            raise SuiteError(
                f"{shown}: names that begin with _ are for suites to extend; they do not run by themselves"
            )
        return True
    meant = next((key for key in data if key.lower() == "suite"), None)
    if meant is not None:
        raise SuiteError(f"{shown} [{meant}]: names are in small letters; expected [suite]")
    if is_log_suite(data) or path.name.startswith("_"):
        return False
    if problem := _describe_headless(data):
        raise SuiteError(f"{shown}: {problem}")
    if expected:
        raise SuiteError(f"{shown}: has neither [suite] nor [logs], so it is not a suite of slimgate")
    return False


def _describe_headless(data: Mapping[str, object]) -> str | None:
    """Why a file that has tables of a suite, but no [suite], would gate nothing; None for other files."""
    stated = [name for name in data if name in OTHER_TABLES]
    near = [f"[{name}] was given{hint}" for name in data if (hint := did_you_mean(name, _HEADS))]
    if not stated and not near:
        return None
    actual = near[0] if near else f"[{stated[0]}] was given."
    return (
        f"neither [suite] nor [logs], so nothing in it would be judged; {actual} If other suites extend the "
        "file, or `slimgate judge --budgets` reads it, let its name begin with _"
    )


def has_tables_of_a_suite(path: Path) -> bool:
    """Whether the TOML has [suite] and a further table of a suite or extends another file, or [logs]."""
    from slimgate.suite.file import parse_toml

    try:
        data: Mapping[str, Any] = parse_toml(path, path.name)
    except SuiteError:
        return False
    suite_table, logs = data.get("suite"), data.get("logs")
    if isinstance(logs, dict) and "targets" in logs:
        return True
    return isinstance(suite_table, dict) and ("extends" in suite_table or not OTHER_TABLES.isdisjoint(data))


def has_suite_table(path: Path) -> bool:
    """Whether a line of the file, TOML or not, begins a table of a suite.

    Editors on Windows may write a byte order mark, or UTF-16, which is not TOML.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", errors="replace").encode(errors="replace")
    return SUITE_TABLE.search(content.removeprefix(codecs.BOM_UTF8)) is not None


def is_opt_in(path: Path, shown: str) -> bool:
    """Whether the suite runs only if the command line names it. Raises SuiteError."""
    from slimgate.suite.file import read_suite_text

    suite = read_suite_text(path, shown).data.get("suite")
    return isinstance(suite, dict) and suite.get("opt_in") is True
