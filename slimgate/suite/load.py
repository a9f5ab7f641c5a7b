"""Loads a suite for the pytest plug-in, the command line and scripts."""

from __future__ import annotations

from pathlib import Path

from slimgate.suite.reader import read_suite
from slimgate.suite.suite import Suite


def load_suite(path: Path, shown: str | None = None, *, check_data: bool = True) -> Suite:
    """The suite of a file. It is fast: no model and no rows are loaded, and torch is not imported.

    check_data: also check data files, their columns and model folders on this machine. It is off for opt-in
    suites that are not selected. Raises SuiteError.
    """
    return read_suite(path, shown or str(path), check_data=check_data)
