"""What tests of `slimgate init` share: a user's repository, and the command in this process."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.judge_command import Command

from fixtures.models.tiny import write_rows, write_tiny_bert


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository, in which the test stands: model/ without a head, reviews.csv."""
    write_tiny_bert(tmp_path / "model")
    write_rows(tmp_path / "reviews.csv", 400)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def init(run_command: Command) -> Command:
    return partial(run_command, "init", "--yes")
