"""The step to_onnx: any rows and tokens, padding that changes nothing, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_classifier, make_tiny_context
from fixtures.models.exported import Exported
from slimgate.errors import BuildError
from slimgate.models.predict import predict_scores
from slimgate.steps.agreement import make_default_predictor, score_batches
from slimgate.steps.convert import to_onnx
from slimgate.steps.quantize import int8_dynamic

pytestmark = pytest.mark.slow


def test_an_exported_graph_has_the_models_parameters_and_answers(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    assert model.measure_size()["parameters"] == tiny.parameters
    for answers, expected in zip(
        score_batches(make_default_predictor(model, context), tiny.batches), tiny.answers, strict=True
    ):
        np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_a_rows_answer_does_not_depend_on_its_batch(tiny: Exported, tmp_path: Path) -> None:
    model, context = tiny.copy_model(tmp_path)
    encoded = context.task.encode_rows(context.task_params, context.rows("train"), model.tokenizer)
    predictor = make_default_predictor(model, context)
    alone = predict_scores(predictor, encoded, batch_size=1)
    order = np.random.default_rng(0).permutation(len(alone))
    np.testing.assert_allclose(
        predict_scores(predictor, encoded, batch_size=7, order=order), alone, atol=1e-4
    )


def test_the_graph_names_its_inputs_and_says_how_near_it_is(tiny: Exported) -> None:
    inputs = {entry.name for entry in tiny.model.proto.graph.input}
    assert {"input_ids", "attention_mask"} <= inputs <= {"input_ids", "attention_mask", "token_type_ids"}
    assert [entry.name for entry in tiny.model.proto.graph.output] == ["logits"]
    assert tiny.context.log["max_difference_relative"] < 0.01
    assert tiny.context.log["agreement_rows"] == 16


def test_layers_that_compute_in_integers_are_refused(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, calibration=16)
    model = int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    with pytest.raises(BuildError, match=r"layers Int8Linear compute in integers.*export the model first"):
        to_onnx.step.apply(model, to_onnx.Params(), context)


def test_nothing_reaches_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=16)
    hub = write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos"), num_hidden_layers=1)
    model = load_tiny(hub, context)
    capfd.readouterr()
    to_onnx.step.apply(model, to_onnx.Params(), context)
    assert capfd.readouterr() == ("", "")


def test_it_declares_what_it_takes_and_gives() -> None:
    assert to_onnx.step.takes == {"torch", "torch_quantized"}
    assert to_onnx.step.gives == "onnx"
    assert to_onnx.step.reads == ("calibration",)
