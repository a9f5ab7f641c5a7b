"""Where reports and the store go in a project that has no configuration file of pytest's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

pytestmark = pytest.mark.slow

STORE = "cache/slimgate"


@pytest.fixture(scope="module")
def project(repository: Path) -> Path:
    """The repository without pytest.ini, and beside it a folder for the store that is there already."""
    (repository / "pytest.ini").unlink()
    shutil.move(repository / "own_steps.py", repository / "bench")
    (repository.parent / STORE).mkdir(parents=True)
    return repository


@pytest.fixture(scope="module")
def ran(project: Path) -> Ran:
    """`pytest bench/one.toml --slimgate-store FOLDER`, with a folder outside the project."""
    store = ("--slimgate-store", str(project.parent / STORE))
    return run_pytest(project, "bench/one.toml", *store, "-k", "size and same")


def test_the_report_is_in_the_calls_folder_wherever_the_store_is(ran: Ran) -> None:
    assert ran.code == 0
    assert "rootdir: " + str(ran.folder.parent) in ran.lines  # pytest takes the store for tests
    assert ran.record("one")["suite"]["path"] == "bench/one.toml"
    assert not (ran.folder.parent / "reports").exists()
