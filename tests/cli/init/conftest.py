"""What tests of `slimgate init` share: a user's repository, and the command in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.cli.main import main

Init = Callable[..., tuple[int, str, str]]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository, in which the test stands: model/ without a head, reviews.csv."""
    write_tiny_bert(tmp_path / "model")
    write_rows(tmp_path / "reviews.csv", 400)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def init(capsys: pytest.CaptureFixture[str]) -> Init:
    """Runs the command: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["init", "--yes", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
