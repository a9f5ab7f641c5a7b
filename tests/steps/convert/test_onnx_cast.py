"""The step onnx_cast: which numbers become float16, what stays, and what of the answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.models.exported import Exported
from slimgate.errors import BuildError
from slimgate.models.onnx_model import load_onnx_model, read_tensor_values
from slimgate.steps.agreement import make_default_predictor, score_batches
from slimgate.steps.convert import onnx_cast, onnx_int8_dynamic, onnx_optimize, onnx_weight_only
from slimgate.steps.convert._onnx_graph import count_node_kinds

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("optimized", [False, True], ids=["as exported", "fused"])
def test_every_float_is_a_half_and_the_scores_are_float32(
    tiny: Exported, tmp_path: Path, optimized: bool
) -> None:
    model, context = tiny.copy_model(tmp_path / "scratch")
    if optimized:
        model = onnx_optimize.step.apply(model, onnx_optimize.Params(), context)
    before = model.measure_size()
    half = onnx_cast.step.apply(model, onnx_cast.Params(), context)
    after = half.measure_size()
    kinds = {read_tensor_values(tensor).dtype.name for tensor in half.proto.graph.initializer}
    assert "float32" not in kinds
    assert "float16" in kinds
    assert after["parameters"] == before["parameters"] == tiny.parameters
    assert after["state_bytes"] < 0.51 * before["state_bytes"]
    assert context.log["float16_numbers"] >= tiny.parameters
    assert 0 < context.log["max_difference_relative"] < 0.05
    for values, expected in zip(
        score_batches(make_default_predictor(half, context), tiny.batches), tiny.answers, strict=True
    ):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected, atol=0.02)
    operators = {name: n for name, n in count_node_kinds(half.proto).items() if name != "Cast"}
    assert operators == {name: n for name, n in count_node_kinds(model.proto).items() if name != "Cast"}


def test_the_graph_that_it_was_made_from_stays_as_it_is(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path / "scratch")
    before = model.proto.SerializeToString()
    onnx_cast.step.apply(model, onnx_cast.Params(), context)
    assert model.proto.SerializeToString() == before


def test_a_graph_too_large_for_a_message_is_cast_without_shapes(
    tiny: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, context = tiny.copy_model(tmp_path / "scratch")
    monkeypatch.setattr("slimgate.models.onnx_model.MOST_INSIDE", 1000)
    half = onnx_cast.step.apply(model, onnx_cast.Params(), context)
    half.save(tmp_path / "large")
    assert (tmp_path / "large" / "model.onnx.data").stat().st_size > 1000
    again = load_onnx_model(tmp_path / "large")
    assert again.measure_size() == half.measure_size()
    for values, expected in zip(
        score_batches(make_default_predictor(again, context), tiny.batches), tiny.answers, strict=True
    ):
        np.testing.assert_allclose(values, expected, atol=0.02)


@pytest.mark.parametrize("step", [onnx_int8_dynamic.step, onnx_weight_only.step])
def test_a_quantized_graph_is_refused(tiny: Exported, tmp_path: Path, step: object) -> None:
    model, context = tiny.copy_model(tmp_path / "scratch")
    options = {"block_size": 16} if step is onnx_weight_only.step else {}
    small = step.apply(model, step.Params(**options), context)  # type: ignore[attr-defined]
    with pytest.raises(BuildError, match="is in 8 bits or fewer; onnx_cast is only for float graphs"):
        onnx_cast.step.apply(small, onnx_cast.Params(), context)


def test_answers_that_float16_cannot_hold_are_no_model(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path / "scratch")
    with pytest.raises(BuildError, match="the converted model disagrees with the one it was made from"):
        onnx_cast.step.apply(model, onnx_cast.Params(tolerance=1e-6), context)
