"""Reads the small logs of `tool_logs`: their rows, their requests, and the line that refuses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.errors import DataError
from slimgate.logs.columns import read_samples
from slimgate.logs.find import read_any_log
from slimgate.plugins.reader import LoadRun, Log, Row

TIMES = [100.0, 110.0, 105.0, 98.0, 120.0]


def list_rows(log: Log) -> list[Row]:
    [task] = log.tasks.values()
    return list(task.rows())


def read_load(path: Path) -> LoadRun:
    [load] = read_any_log(path).loads.values()
    return load


def read_whole(path: Path) -> None:
    log = read_any_log(path)
    for name, task in log.tasks.items():
        read_samples(name, task)


def assert_refused(path: Path, words: str) -> None:
    """A log that is read whole is refused in one line."""
    with pytest.raises(DataError, match=words) as caught:
        read_whole(path)
    assert "\n" not in str(caught.value)
