"""Runs `slimgate judge` in this process. The fixture `judge` of tests/conftest.py has the type Judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from slimgate.cli.main import main
from slimgate.record.files import StoredRecord, read_run

# Arguments of the command -> exit code, output, errors.
Judge = Callable[..., tuple[int, str, str]]


def judge_into(folder: Path, options: Sequence[object]) -> StoredRecord:
    """Judges files, and returns the record in `folder`. The command must end with exit code 0.

    options: the arguments of the command: files and options.
    """
    assert main(["judge", *map(str, options), "--report", str(folder)]) == 0
    return StoredRecord(folder / "run.json", read_run(folder / "run.json"))
