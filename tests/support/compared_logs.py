"""Judges two logs of a tool that differ in a setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slimgate.errors import DataError
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.find import read_log
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs


def judge_files(base: Path, target: Path, *allow: str) -> LogVerdicts:
    return judge_logs(read_log(base), read_log(target), LogBudgets(), Rules(frozenset(allow)))


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    return path


def check_setting(base: Path, target: Path, name: str, words: str) -> None:
    """Checks that the difference is refused, and only noted if it is allowed. words: of the message."""
    with pytest.raises(DataError) as refusal:
        judge_files(base, target)
    assert words in str(refusal.value)
    assert f"accept it by --allow {name}" in str(refusal.value)
    assert any(words in note for note in judge_files(base, target, name).notes)


def check_same_settings(base: Path, target: Path, task: str = "sums") -> LogVerdicts:
    """Checks that the task is judged, and that no note names a setting with two values, or with one."""
    verdicts = judge_files(base, target)
    assert [part.task for part in verdicts.comparisons] == [task]
    assert not [note for note in verdicts.notes if "} and {" in note or "only one of the logs has" in note]
    return verdicts
