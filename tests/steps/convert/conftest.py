"""The graphs that tests of ONNX and OpenVINO steps share: an export takes longer than a test of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fixtures.models.exported import Exported, export_random_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A tiny BERT with a head of two labels; a test changes a copy of it."""
    return export_random_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def exported(openvino_tiny: tuple[Any, Any]) -> tuple[Any, Any]:
    """An exported BERT of two blocks of width 32, and a context with a new log."""
    model, context = openvino_tiny
    return model, replace(context, log={})
