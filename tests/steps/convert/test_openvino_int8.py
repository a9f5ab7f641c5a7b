"""slimgate.steps.convert.openvino_int8: what became int8, what stayed float, and what accuracy control
does.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fixtures.models.openvino_models import compute_model_scores
from slimgate.errors import BuildError, DataError
from slimgate.models.openvino_model import count_weight_types
from slimgate.steps.agreement import make_default_predictor
from slimgate.steps.convert import openvino_int8
from slimgate.steps.convert._openvino_quantization import (
    find_output_layer,
    list_embedding_lookups,
    make_single_rows,
)
from slimgate.steps.convert.openvino_int8 import Params

pytestmark = pytest.mark.slow


def applied(exported: tuple[Any, Any], **options: Any) -> tuple[Any, dict[str, Any]]:
    model, context = exported
    context.log = {}
    return openvino_int8.step.apply(model, Params.model_validate(options), context), context.log


def alternate_stack() -> bytes:
    """Linux's stack_t of this thread, as it is."""
    stack = ctypes.create_string_buffer(32)
    assert ctypes.CDLL(None).sigaltstack(None, stack) == 0
    return stack.raw[:24]


def test_linear_layers_become_int8(exported: tuple[Any, Any], capfd: pytest.CaptureFixture[str]) -> None:
    quantized, log = applied(exported)
    assert capfd.readouterr() == ("", "")
    model, _ = exported
    # two blocks of four 32 x 32 projections and two 32 x 64 of the FFN, and BERT's pooler
    assert count_weight_types(quantized.graph)["i8"] == 2 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32
    # bias correction gives layers without one a bias
    assert quantized.measure_size()["parameters"] == pytest.approx(
        model.measure_size()["parameters"], rel=0.03
    )
    assert quantized.measure_size()["state_bytes"] < 0.5 * model.measure_size()["state_bytes"]
    assert 0 < log["max_difference_relative"] < 2
    assert log["fake_quantize"] > 0
    assert log["left_in_float"] == len(list_embedding_lookups(model.graph)) + 1


def test_embeddings_and_the_output_layer_where_asked_for(exported: tuple[Any, Any]) -> None:
    plain = count_weight_types(applied(exported)[0].graph)
    more = count_weight_types(
        applied(exported, embeddings=True, output_layer=True, preset="performance")[0].graph
    )
    vocabulary = exported[0].config.vocab_size * 32
    assert more["i8"] >= plain["i8"] + vocabulary + 2 * 32


def test_a_row_has_nearly_the_same_scores_in_any_batch(exported: tuple[Any, Any]) -> None:
    quantized, _ = applied(exported, smooth_alpha=False, bias_correction=False, rows=8)
    context = exported[1]
    predictor = make_default_predictor(quantized, context)
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), quantized.tokenizer)
    together = predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(range(16)))))
    for row in range(3):
        alone = predictor.fetch(predictor.forward(predictor.prepare(encoded.batch([row]))))
        assert np.allclose(alone[0], together[row], atol=0.1 * float(together.std()))


@pytest.mark.skipif(sys.platform != "linux", reason="the alternate stack is asked for as Linux has it")
def test_nncf_leaves_no_stack_that_signals_would_be_handled_on(exported: tuple[Any, Any]) -> None:
    """It is of a Core that is gone; a handler of anybody's would end the process."""
    applied(exported, rows=8)  # compiles in slimgate's own Core, which stays
    before = alternate_stack()
    applied(exported, accuracy_control={"max_drop_points": 50.0, "max_rounds": 1}, rows=8)
    assert alternate_stack() == before


def test_accuracy_control_judges_by_selection(exported: tuple[Any, Any]) -> None:
    control = {"max_drop_points": 50.0, "max_rounds": 1}
    quantized, log = applied(exported, accuracy_control=control, rows=8)
    assert count_weight_types(quantized.graph)["i8"] > 0
    assert (log["controlled_metric"], log["controlled_split"]) == ("accuracy", "selection")
    float_value, int8_value = log["values"][:2]
    labels = np.asarray(
        [label == "pos" for label in exported[1].rows("selection").table["label"].to_pylist()]
    )
    assert float_value == pytest.approx(np.mean(compute_model_scores(*exported).argmax(1) == labels))
    assert float_value - int8_value <= 0.5
    params = Params.model_validate({"accuracy_control": control})
    assert openvino_int8.step.also_reads(params) == ("selection",)
    assert openvino_int8.step.also_reads(Params()) == ()


def test_the_output_layer_and_single_rows_are_found(exported: tuple[Any, Any]) -> None:
    model, context = exported
    name = find_output_layer(model.graph)
    (node,) = [node for node in model.graph.get_ops() if node.get_friendly_name() == name]
    assert list(node.input_value(1).get_shape()) == [2, 32]
    assert {len(row["input_ids"]) for row in make_single_rows(model, context, 5)} == {1}
    assert len(make_single_rows(model, context, 5)) == 5


def test_a_pattern_that_fits_nothing_is_one_line(exported: tuple[Any, Any]) -> None:
    with pytest.raises(BuildError, match=r"nncf: .*no_such_layer") as caught:
        applied(exported, ignored=("no_such_layer",))
    assert "\n" not in str(caught.value)


def test_a_disagreement_past_the_tolerance_is_an_error(exported: tuple[Any, Any]) -> None:
    with pytest.raises(BuildError, match="disagrees with the one it was made from"):
        applied(exported, rows=4, smooth_alpha=False, bias_correction=False, tolerance=1e-9)


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="expected a share from 0 to 1, or false"):
        Params.model_validate({"smooth_alpha": True})
    with pytest.raises(ValidationError, match="max_drop_points"):
        Params.model_validate({"accuracy_control": {"max_drop_points": 0.0}})


def test_without_selection_rows_accuracy_control_says_so(exported: tuple[Any, Any]) -> None:
    context = exported[1]
    splits = context.splits
    context.splits = {"calibration": splits["calibration"]}
    try:
        with pytest.raises(DataError, match="split selection, which has none"):
            applied(exported, accuracy_control={})
    finally:
        context.splits = splits
