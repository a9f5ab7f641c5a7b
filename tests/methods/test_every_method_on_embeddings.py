"""What holds of every method on a sentence encoder, of pairs and of single texts: it runs and loads the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.architectures import write_tiny
from fixtures.embeddings import LABELS, PAIRS, embedding_context, load_encoder, vectors_of
from fixtures.method_examples import EMBEDDING_EXAMPLES, EXAMPLES
from slimgate.errors import BuildError
from slimgate.loading import load
from slimgate.torch_model import load_torch_model

torch.set_num_threads(1)
CASES = [
    pytest.param(method, example, id=f"{method}-{number}")
    for method, examples in {**EXAMPLES, **EMBEDDING_EXAMPLES}.items()
    for number, example in enumerate(examples)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "bert", "bert", initializer_range=0.2)


@pytest.mark.parametrize("params", [PAIRS, LABELS], ids=["pairs", "labels"])
@pytest.mark.parametrize(("name", "example"), CASES)
def test_method(tmp_path: Path, folder: Path, name: str, example: Any, params: Any) -> None:
    context = embedding_context(
        tmp_path / "rows", params, calibration=16, teacher=lambda: load_encoder(folder, plain)
    )
    plain = copy.copy(context)
    plain.log = {}
    method, model = load("method", name), load_encoder(folder, plain)
    before = vectors_of(model, context)
    model = method.apply(model, method.Params.model_validate(example), context)
    given = vectors_of(model, context)
    assert given.shape[0] == before.shape[0]
    assert np.isfinite(given).all()
    (tmp_path / "after").mkdir()
    model.save(tmp_path / "after")
    again = load_torch_model(tmp_path / "after")
    assert np.array_equal(vectors_of(again, context), given)
