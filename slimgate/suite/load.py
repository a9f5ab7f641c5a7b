"""Loads a suite: the one call that the plugin, the command line and scripts make."""

from __future__ import annotations

from pathlib import Path

from slimgate.suite.reader import read_suite
from slimgate.suite.suite import Suite


def load_suite(path: Path, shown: str | None = None, *, check_data: bool = True) -> Suite:
    """The suite of a file. Light: no model, no rows and no torch are loaded.

    check_data: also look at what the suite names on this machine (data files and their columns, model
    folders); off for opt-in suites that nobody asked for. Raises SuiteError.
    """
    return read_suite(path, shown or str(path), check_data=check_data)
