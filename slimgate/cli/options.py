"""Arguments that several commands have: a run, a model of a run, the store, numbers."""

from __future__ import annotations

import argparse
import os
from math import inf
from pathlib import Path

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
