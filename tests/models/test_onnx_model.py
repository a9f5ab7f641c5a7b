"""Models of an ONNX graph: their files, what they weigh, and weights that stand beside the graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fixtures.models.building import make_tiny_context, save_model
from fixtures.models.tiny_graph import MATRIX, TABLE, compute_tiny_answers, make_tiny_onnx_model
from slimgate.errors import BuildError
from slimgate.models import onnx_model
from slimgate.models.onnx_model import load_onnx_model
from slimgate.steps.agreement import make_default_predictor
from slimgate.store.store import Artifact, Entry

IDS = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int64)


def test_it_is_saved_as_one_file_and_loads_the_same(tmp_path: Path) -> None:
    model, context = make_tiny_onnx_model(tmp_path / "hub"), make_tiny_context(tmp_path / "rows")
    folder = save_model(model, tmp_path / "saved")
    assert {"model.onnx", "config.json", "tokenizer.json", "slimgate.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert not (folder / "model.onnx.data").exists()
    assert "\n" not in (folder / "tokenizer.json").read_text("utf-8")
    assert json.loads((folder / "slimgate.json").read_text("utf-8")) == {"kind": "onnx"}
    again = Artifact(Entry(folder, {"kind": "onnx"}, False)).load("cpu")
    assert again.proto == model.proto
    predictor = make_default_predictor(again, context)
    answers = predictor.fetch(predictor.forward(predictor.prepare({"input_ids": IDS})))
    np.testing.assert_allclose(answers, compute_tiny_answers(IDS), rtol=1e-6)


def test_it_weighs_what_its_matrices_hold(tmp_path: Path) -> None:
    size = make_tiny_onnx_model(tmp_path).measure_size()
    assert size["parameters"] == 96 + 8  # not the axis
    assert size["nonzero_parameters"] == 95 + np.count_nonzero(MATRIX)
    assert size["state_bytes"] == TABLE.nbytes + MATRIX.nbytes + 8


def test_a_mask_is_no_weight(tmp_path: Path) -> None:
    model = make_tiny_onnx_model(tmp_path)
    model.proto.graph.initializer.append(numpy_helper.from_array(np.tril(np.ones((64, 64), bool)), "causal"))
    assert model.measure_size()["parameters"] == 96 + 8


def test_weights_that_are_too_many_are_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "MOST_INSIDE", 300)
    model = make_tiny_onnx_model(tmp_path / "hub")
    big = np.ones((64, 64), dtype=np.float32)
    model.proto.graph.initializer.append(numpy_helper.from_array(big, "big"))
    folder = save_model(model, tmp_path / "saved")
    assert (folder / "model.onnx.data").stat().st_size >= big.nbytes
    again = load_onnx_model(folder)
    assert again.measure_size() == model.measure_size()
    assert np.array_equal(numpy_helper.to_array(again.proto.graph.initializer[-1]), big)


def test_weights_of_another_folder_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "MOST_INSIDE", 300)
    model, folder = make_tiny_onnx_model(tmp_path / "hub"), tmp_path / "saved"
    big = np.ones((64, 64), dtype=np.float32)
    model.proto.graph.initializer.append(numpy_helper.from_array(big, "big"))
    save_model(model, folder)
    (folder / "model.onnx.data").rename(tmp_path / "elsewhere.data")
    with pytest.raises(BuildError, match="which does not exist"):
        load_onnx_model(folder)
    proto = onnx.load_model(folder / "model.onnx", load_external_data=False)
    for entry in proto.graph.initializer[-1].external_data:
        if entry.key == "location":
            entry.value = "../elsewhere.data"
    onnx.save_model(proto, folder / "model.onnx")
    with pytest.raises(BuildError, match="big is stored outside of the folder"):
        load_onnx_model(folder)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    model = make_tiny_onnx_model(tmp_path / "hub")
    broken = np.array([[np.nan, 1.0]], dtype=np.float32)
    model.proto.graph.initializer.append(numpy_helper.from_array(broken, "broken"))
    with pytest.raises(BuildError, match="NaN or infinite after the step, first in broken"):
        model.save(tmp_path)
