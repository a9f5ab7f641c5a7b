"""The graph that tests of ONNX steps share: an export takes longer than what they do with it."""

from __future__ import annotations

import pytest

from fixtures.models.exported import Exported, export_random_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A tiny BERT with a head of two labels; a test changes a copy of it."""
    return export_random_model(tmp_path_factory.mktemp("tiny"))
