"""What holds of every method, on tiny models of each kind of transformer, with the options of its examples.

The step runs, outputs keep their shape and stay finite, what it claims came true, the artifact holds no
pickle, and it loads again to the same outputs, to the bit.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, tiny_context
from fixtures.models.method_examples import EMBEDDING_EXAMPLES, EXAMPLES, ONNX_EXAMPLES, OPENVINO_EXAMPLES
from slimgate.loading import known, load
from slimgate.models.predicting import predict_scores
from slimgate.models.torch_model import load_torch_model
from slimgate.run.claims import step_claims
from slimgate.runtimes.eager import EagerPredictor
from slimgate.store.store import files_of

torch.set_num_threads(1)
ARCHITECTURES = ("bert", "distilbert", "gpt2", "llama")
CASES = [
    pytest.param(method, example, architecture, id=f"{method}-{number}-{architecture}")
    for method, examples in EXAMPLES.items()
    for number, example in enumerate(examples)
    for architecture in ARCHITECTURES
]


def test_every_method_has_an_example() -> None:
    # test_in_tower.py has those of a tower; test_every_onnx_method.py, test_to_openvino.py and
    # test_to_aoti.py those of what is no torch network any more
    converted = {*ONNX_EXAMPLES, *OPENVINO_EXAMPLES, "to_aoti"}
    assert {*EXAMPLES, *EMBEDDING_EXAMPLES, *converted, "in_tower"} == set(known("method"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model of each architecture, weights wide enough that steps show."""
    root = tmp_path_factory.mktemp("tiny")
    labels = ("neg", "pos")
    return {
        name: write_tiny(root / name, name, labels=labels, initializer_range=0.2) for name in ARCHITECTURES
    }


def scores(model: Any, context: Any) -> Any:
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), model.tokenizer)
    return predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=8)


def saved(model: Any, folder: Path) -> dict[str, int]:
    """The facts of its manifest, after saving."""
    folder.mkdir()
    model.save(folder)
    return {"bytes": sum((folder / f).stat().st_size for f in files_of(folder)), **model.footprint()}


@pytest.mark.parametrize(("name", "example", "architecture"), CASES)
def test_method(tmp_path: Path, folders: dict[str, Path], name: str, example: Any, architecture: str) -> None:
    context = tiny_context(
        tmp_path / "rows", calibration=16, teacher=lambda: load_tiny(folders[architecture], plain)
    )
    plain = copy.copy(context)
    plain.log = {}
    method = load("method", name)
    model = load_tiny(folders[architecture], plain)
    before, shape = saved(model, tmp_path / "before"), scores(model, context).shape
    params = method.Params.model_validate(example)
    model = method.apply(model, params, context)
    model.kind = method.gives or model.kind
    after = saved(model, tmp_path / "after")
    given = scores(model, context)
    assert given.shape == shape
    assert np.isfinite(given).all()
    for claim in step_claims(name, getattr(method, "claims", ()), before, after):
        assert claim["held"] is not False, claim
    assert not [
        file for file in files_of(tmp_path / "after") if file.endswith((".bin", ".pt", ".pkl", ".pickle"))
    ]
    again = load_torch_model(tmp_path / "after")
    assert np.array_equal(scores(again, context), given)
    assert again.footprint() == model.footprint()
    assert again.kind == model.kind
