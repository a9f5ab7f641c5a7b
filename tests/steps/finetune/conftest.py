"""A teacher and a student that write, for the steps that learn from written answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_decoders import make_answer_context, write_teacher_and_student


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of both, each with a tiny Llama."""
    return write_teacher_and_student(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def context(tmp_path: Path, folders: dict[str, Path]) -> Any:
    """A build context with the teacher, for answers."""
    return make_answer_context(tmp_path, folders)
