"""The steps onnx_int8_dynamic, onnx_int8_static and onnx_weight_only: what becomes integers, what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.exported import Exported
from slimgate.errors import BuildError
from slimgate.models.predict import predict_scores
from slimgate.steps.agreement import make_default_predictor
from slimgate.steps.convert import onnx_int8_dynamic, onnx_int8_static, onnx_weight_only
from slimgate.steps.convert._onnx_graph import count_node_kinds

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("step", "kind"),
    [(onnx_int8_dynamic.step, "MatMulInteger"), (onnx_int8_static.step, "MatMulIntegerToFloat")],
    ids=["dynamic", "static"],
)
def test_products_are_int8_and_the_output_layer_is_not(
    tiny: Exported, tmp_path: Path, step: Any, kind: str
) -> None:
    model, context = tiny.copy_model(tmp_path)
    quantized = step.apply(model, step.Params(), context)
    assert count_node_kinds(quantized.proto)[kind] == 4 * 6 + 1  # blocks, pooler
    assert quantized.measure_size()["state_bytes"] < 0.5 * model.measure_size()["state_bytes"]
    assert 1e-4 < context.log["max_difference_relative"] < 1
    assert ("warning" in context.log) == (step is onnx_int8_dynamic.step)  # rows share a scale
    model, context = tiny.copy_model(tmp_path)
    with_output = step.apply(model, step.Params(output_layer=True), context)
    assert count_node_kinds(with_output.proto)[kind] == 4 * 6 + 2


def test_static_ranges_make_a_rows_answer_its_own(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    quantized = onnx_int8_static.step.apply(model, onnx_int8_static.Params(), context)
    encoded = context.task.encode_rows(context.task_params, context.rows("train"), quantized.tokenizer)
    predictor = make_default_predictor(quantized, context)
    alone, together = (predict_scores(predictor, encoded, batch_size=size) for size in (1, 16))
    assert np.abs(alone - together).max() < 0.02 * np.ptp(alone)


def test_packed_weights_count_as_many_as_they_are(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    params = onnx_weight_only.Params(block_size=16, embeddings=True)
    quantized = onnx_weight_only.step.apply(model, params, context)
    kinds = count_node_kinds(quantized.proto)
    assert (kinds["MatMulNBits"], kinds["GatherBlockQuantized"]) == (4 * 6 + 1, 1)
    assert quantized.measure_size()["parameters"] == tiny.parameters


@pytest.mark.parametrize("step", [onnx_int8_dynamic.step, onnx_int8_static.step, onnx_weight_only.step])
def test_a_graph_that_is_quantized_already_is_a_clear_error(
    tiny: Exported, tmp_path: Path, step: Any
) -> None:
    model, context = tiny.copy_model(tmp_path)
    quantized = onnx_int8_dynamic.step.apply(model, onnx_int8_dynamic.Params(output_layer=True), context)
    with pytest.raises(BuildError, match=r"has no MatMul with float weights, only .*MatMulInteger"):
        step.apply(quantized, step.Params(output_layer=True), context)


def test_a_percentile_needs_its_observer() -> None:
    with pytest.raises(ValueError, match='percentile needs observer = "percentile"'):
        onnx_int8_static.Params(percentile=99.9)
