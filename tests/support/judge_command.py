"""Runs slimgate in this process. The fixtures `run_command` and `judge` of tests/conftest.py are Commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from slimgate.cli.main import main
from slimgate.record.files import StoredRecord, read_run

# Arguments -> exit code, output, errors.
Command = Callable[..., tuple[int, str, str]]
Judge = Command


def judge_into(folder: Path, options: Sequence[object]) -> StoredRecord:
    """Judges files, and returns the record in `folder`. The command must end with exit code 0.

    options: the arguments of the command: files and options.
    """
    assert main(["judge", *map(str, options), "--report", str(folder)]) == 0
    return StoredRecord(folder / "run.json", read_run(folder / "run.json"))
