"""Which store a command reads: its option, else SLIMGATE_STORE, else .slimgate."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_store(parser: argparse.ArgumentParser) -> None:
    """The store, as `options.store`."""
    parser.add_argument("--store", type=Path, metavar="DIR", help="default: SLIMGATE_STORE, else .slimgate")


def store_root(options: argparse.Namespace) -> Path:
    """The folder that was asked for; it may not be there."""
    return Path(options.store or os.environ.get("SLIMGATE_STORE") or ".slimgate")
