"""slimgate.models.openvino_model: what is saved comes back, and weights are counted by their true number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.building import save_model
from fixtures.models.openvino_models import compute_model_scores
from slimgate.errors import BuildError
from slimgate.models.openvino_model import (
    OpenVinoModel,
    count_weight_types,
    find_broken_constant,
    load_openvino_model,
    measure_size,
)

pytest.importorskip("torch")

pytestmark = pytest.mark.slow


def graph_of(*outputs: Any, inputs: Any) -> Any:
    import openvino

    return openvino.Model(list(outputs), list(inputs), "hand")


def test_it_loads_again_the_same(openvino_tiny: tuple[Any, Any], tmp_path: Path) -> None:
    model, context = openvino_tiny
    folder = save_model(model, tmp_path / "saved")
    assert {"model.xml", "model.bin", "config.json", "tokenizer.json", "slimgate.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert json.loads((folder / "slimgate.json").read_text()) == {"kind": "openvino"}
    again = load_openvino_model(folder)
    assert np.array_equal(compute_model_scores(again, context), compute_model_scores(model, context))
    assert again.measure_size() == model.measure_size()
    assert again.config.hidden_size == 32
    assert again.code_modules() == []


def test_levels_count_each_and_their_scales_do_not() -> None:
    import openvino
    from openvino import opset13 as op

    x = op.parameter([-1, 4], np.float32, name="x")
    levels = op.constant(np.array([[1, 2, 8, 15], [8, 8, 3, 0]]), dtype=openvino.Type.u4)
    point = op.constant(np.array([[8], [8]]), dtype=openvino.Type.u4)
    scale = op.constant(np.array([[0.5], [0.25]], dtype=np.float32))
    weight = op.multiply(op.subtract(op.convert(levels, "f32"), op.convert(point, "f32")), scale)
    bias = op.constant(np.array([1.0, 0.0], dtype=np.float32))
    graph = graph_of(op.add(op.matmul(x, weight, False, True), bias), inputs=[x])
    assert measure_size(graph) == {"parameters": 10, "nonzero_parameters": 6, "state_bytes": 4 + 1 + 8 + 8}
    assert count_weight_types(graph) == {"f32": 2, "u4": 8}


def test_signed_levels_and_ranges_of_activations() -> None:
    import openvino
    from openvino import opset13 as op

    x = op.parameter([-1, 2], np.float32, name="x")
    ends = [op.constant(np.array([[-1.0, -2.0]], dtype=np.float32)) for _ in range(2)]
    ends += [op.constant(np.array([[1.0, 2.0]], dtype=np.float32)) for _ in range(2)]
    limited = op.fake_quantize(x, ends[0], ends[2], ends[1], ends[3], 256)
    levels = op.constant(np.array([[-8, 0], [7, 0]]), dtype=openvino.Type.i4)
    weight = op.multiply(op.convert(levels, "f32"), op.constant(np.array([[2.0], [3.0]], dtype=np.float32)))
    graph = graph_of(op.matmul(limited, weight, False, True), inputs=[x])
    assert measure_size(graph)["parameters"] == 4
    assert measure_size(graph)["nonzero_parameters"] == 2


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    from openvino import opset13 as op

    x = op.parameter([-1, 2], np.float32, name="x")
    weight = op.constant(np.array([[1.0, np.nan], [0.0, 1.0]], dtype=np.float32), name="broken")
    graph = graph_of(op.matmul(x, weight, False, False), inputs=[x])
    assert find_broken_constant(graph) == "broken"
    with pytest.raises(BuildError, match="NaN or infinite after the step, first in broken"):
        OpenVinoModel(graph, None, None).save(tmp_path)
