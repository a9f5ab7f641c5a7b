"""slimgate.steps.convert.to_openvino: the graph answers as the network does, for every task and any
shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_classifier, save_model
from fixtures.models.embeddings import make_embedding_context
from fixtures.models.openvino_models import (
    compute_model_scores,
    compute_scores_elsewhere,
    export_random_model,
)
from fixtures.models.task_rows import make_task_context
from slimgate.errors import BuildError, DataError
from slimgate.steps.convert import to_openvino
from slimgate.steps.quantize import int8_dynamic

pytest.importorskip("torch")

pytestmark = pytest.mark.slow


def types_of(model: Any) -> set[str]:
    return {node.get_type_name() for node in model.graph.get_ops()}


@pytest.mark.parametrize(
    ("architecture", "layers", "attention"),
    [("distilbert", "n_layers", "sdpa"), ("gpt2", "n_layer", "eager")],
)
def test_the_graph_answers_as_the_network_and_reloads_the_same(
    tmp_path: Path, architecture: str, layers: str, attention: Any
) -> None:
    plain, context = make_tiny_classifier(tmp_path, architecture, shape={layers: 2}, calibration=16)
    expected = compute_model_scores(plain, context)
    model = to_openvino.step.apply(plain, to_openvino.Params(attention=attention), context)
    scores = compute_model_scores(model, context)
    assert np.allclose(scores, expected, atol=1e-4)
    assert context.log["max_difference_relative"] < 1e-3
    assert ("ScaledDotProductAttention" in types_of(model)) is (attention == "sdpa")
    assert plain.network.config._attn_implementation == "sdpa"
    # tensors that are equal, such as biases of 0, are stored once
    assert model.measure_size()["parameters"] == pytest.approx(plain.measure_size()["parameters"], rel=0.05)
    save_model(model, tmp_path / "saved")
    assert np.array_equal(compute_scores_elsewhere(tmp_path / "saved", tmp_path, model, context), scores)


@pytest.mark.parametrize("task", ["multi_label", "token_classification"])
def test_further_tasks(tmp_path: Path, task: str) -> None:
    context = make_task_context(tmp_path / "rows", task)
    model = load_tiny(write_tiny(tmp_path / "hub", "bert", num_hidden_layers=1), context)
    to_openvino.step.apply(model, to_openvino.Params(), context)
    assert context.log["max_difference_relative"] < 1e-3


def test_pairs_of_texts_stay_pairs(tmp_path: Path) -> None:
    context = make_embedding_context(tmp_path / "rows", calibration=16)
    model = load_tiny(write_tiny(tmp_path / "hub", "bert", num_hidden_layers=1), context)
    exported = to_openvino.step.apply(model, to_openvino.Params(), context)
    assert compute_model_scores(exported, context).shape == (16, 2, 32)


def test_float16_storage_halves_the_bytes(openvino_tiny: tuple[Any, Any], tmp_path: Path) -> None:
    model, _ = openvino_tiny
    half, context = export_random_model(tmp_path / "half", compress_to_fp16=True)
    assert half.measure_size()["state_bytes"] < 0.6 * model.measure_size()["state_bytes"]
    assert half.measure_size()["parameters"] == model.measure_size()["parameters"]
    assert np.abs(compute_model_scores(half, context) - compute_model_scores(model, context)).max() < 0.05


def test_a_disagreement_past_the_tolerance_is_one_line(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, shape={"num_hidden_layers": 1}, calibration=16)
    with pytest.raises(BuildError, match=r"disagrees .* expected at most 1e-12; set a larger `tolerance`"):
        to_openvino.step.apply(model, to_openvino.Params(tolerance=1e-12), context)


def test_layers_that_compute_in_integers_are_named(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, shape={"num_hidden_layers": 1}, calibration=16)
    model = int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    with pytest.raises(BuildError, match=r"its layers Int8Linear may be the reason") as caught:
        to_openvino.step.apply(model, to_openvino.Params(), context)
    assert "\n" not in str(caught.value)


def test_without_calibration_rows_it_says_so(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, shape={"num_hidden_layers": 1})
    with pytest.raises(DataError, match="split calibration, which has none"):
        to_openvino.step.apply(model, to_openvino.Params(), context)
