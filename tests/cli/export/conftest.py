"""What tests of `slimgate export` share: rows, and the command in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.exported_models import Run

from fixtures.models.building import make_tiny_context
from fixtures.models.kept_models import StoredRun
from slimgate.cli.main import main
from slimgate.plugins.context import BuildContext


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Exports the model "small" to tmp_path/out: exit code, standard output, standard error."""

    def run(stored: StoredRun, *arguments: str, name: str = "small") -> tuple[int, str, str]:
        where = (str(stored.record), name, str(tmp_path / "out"), "--store", str(stored.store))
        capsys.readouterr()  # what was printed while the model was made
        code = main(["export", *where, *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return make_tiny_context(tmp_path / "rows", calibration=16)
