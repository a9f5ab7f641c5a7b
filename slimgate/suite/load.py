"""Loads a suite for the pytest plug-in, the command line and scripts."""

from __future__ import annotations

from pathlib import Path

from slimgate.plugins.loading import import_from
from slimgate.suite.reader import read_suite
from slimgate.suite.suite import Suite


def load_suite(path: Path, shown: str | None = None, *, check_data: bool = True) -> Suite:
    """Reads a suite file. It is fast: it loads no model and no rows, and does not import torch.

    Python can import modules next to the suite afterwards, such as its own plug-ins.

    Args:
        path: the file.
        shown: its name in messages; default: the path.
        check_data: also check that data files, their columns and model folders exist on this machine. This is
            off for opt-in suites that are not selected.

    Raises:
        SuiteError: with a line for what is wrong.
    """
    with import_from(path.absolute().parent):
        return read_suite(path, shown or str(path), check_data=check_data)
