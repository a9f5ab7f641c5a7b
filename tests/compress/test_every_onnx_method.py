"""What holds of every step that leaves an ONNX graph, with the options of its examples.

The step runs, outputs keep their shape and stay finite, what it claims came true, the artifact holds no
pickle, and it loads again to the same outputs, to the bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.exported import Exported, exported
from fixtures.models.method_examples import ONNX_EXAMPLES
from slimgate.compress.agreement import predictor_of, scores
from slimgate.loading import load
from slimgate.models.onnx_model import load_onnx_model
from slimgate.run.claims import step_claims
from slimgate.store.store import files_of

CASES = [
    pytest.param(name, example, id=f"{name}-{number}")
    for name, examples in ONNX_EXAMPLES.items()
    for number, example in enumerate(examples)
    if name != "to_onnx"
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tmp_path_factory.mktemp("tiny"))


def saved(model: Any, folder: Path) -> dict[str, int]:
    folder.mkdir()
    model.save(folder)
    return {"bytes": sum((folder / f).stat().st_size for f in files_of(folder)), **model.footprint()}


def test_an_exported_graph_has_the_models_parameters_and_answers(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copied(tmp_path)
    assert model.footprint()["parameters"] == tiny.parameters
    for given, wanted in zip(scores(predictor_of(model, context), tiny.batches), tiny.answers, strict=True):
        np.testing.assert_allclose(given, wanted, atol=1e-4)


@pytest.mark.parametrize(("name", "example"), CASES)
def test_method(tiny: Exported, tmp_path: Path, name: str, example: Any) -> None:
    model, context = tiny.copied(tmp_path / "scratch")
    before = saved(model, tmp_path / "before")
    method = load("method", name)
    made = method.apply(model, method.Params.model_validate(example), context)
    after, given = saved(made, tmp_path / "after"), scores(predictor_of(made, context), tiny.batches)
    for values, wanted in zip(given, tiny.answers, strict=True):
        assert values.shape == wanted.shape
        assert np.isfinite(values).all()
    assert after["parameters"] == tiny.parameters
    for claim in step_claims(name, getattr(method, "claims", ()), before, after):
        assert claim["held"] is not False, claim
    assert not [f for f in files_of(tmp_path / "after") if f.endswith((".bin", ".pt", ".pkl", ".pickle"))]
    again = load_onnx_model(tmp_path / "after")
    assert again.footprint() == made.footprint()
    assert again.kind == "onnx"
    for values, wanted in zip(scores(predictor_of(again, context), tiny.batches), given, strict=True):
        assert np.array_equal(values, wanted)
