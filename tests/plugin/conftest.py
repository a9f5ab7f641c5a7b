"""The repository that the tests of one module run pytest in."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import write_repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_rows: Path) -> Path:
    """The repository, with nothing built yet; the tests of a module share it."""
    return write_repository(tmp_path_factory.mktemp("repository"), tiny_model, tiny_rows)


@pytest.fixture
def fresh_repository(tmp_path: Path, tiny_model: Path, tiny_rows: Path) -> Path:
    """One of a test's own."""
    return write_repository(tmp_path / "repository", tiny_model, tiny_rows)
