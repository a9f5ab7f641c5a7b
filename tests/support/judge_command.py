"""`slimgate judge` in this process: the fixture `judge` of tests/conftest.py runs it, and `judge_into`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from slimgate.cli.main import main
from slimgate.record.files import StoredRecord, read_run

# Arguments of the command -> exit code, output, errors.
Judge = Callable[..., tuple[int, str, str]]


def judge_into(folder: Path, options: Sequence[object]) -> StoredRecord:
    """The record in `folder`, of a command that ends with exit code 0. options: files and options of it."""
    assert main(["judge", *map(str, options), "--report", str(folder)]) == 0
    return StoredRecord(folder / "run.json", read_run(folder / "run.json"))
