"""What commands call a run on the command line, and a model of it."""

from __future__ import annotations

import argparse
from pathlib import Path

_RUN = "a run.json, or its folder, such as reports/latest/library_docs"


def add_run(parser: argparse.ArgumentParser) -> None:
    """One run, as `options.record`."""
    parser.add_argument("record", type=Path, metavar="RUN", help=_RUN)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """One run or more, as `options.runs`."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=_RUN)


def add_model(parser: argparse.ArgumentParser) -> None:
    """A run and a model of it, as `options.record` and `options.variant`."""
    add_run(parser)
    parser.add_argument("variant", metavar="VARIANT", help="a variant's name, or teacher")
