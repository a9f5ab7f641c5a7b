"""slimgate.steps.convert.openvino_weights: weights in 8 and 4 bits, counted by their true number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fixtures.models.openvino_models import compute_model_scores
from slimgate.errors import BuildError
from slimgate.models.openvino_model import count_weight_types
from slimgate.steps.convert import openvino_weights
from slimgate.steps.convert.openvino_weights import Params

pytest.importorskip("torch")

pytestmark = pytest.mark.slow


def applied(exported: tuple[Any, Any], **options: Any) -> tuple[Any, dict[str, Any]]:
    model, context = exported
    context.log = {}
    return openvino_weights.step.apply(model, Params(**options), context), context.log


@pytest.mark.parametrize(("mode", "kind"), [("int8_asym", "u8"), ("int8_sym", "i8")])
def test_int8_takes_every_matrix(exported: tuple[Any, Any], mode: Any, kind: str) -> None:
    quantized, log = applied(exported, mode=mode)
    before, after = exported[0].measure_size(), quantized.measure_size()
    assert log["weights"][kind] > 0.9 * before["parameters"]
    assert after["parameters"] == pytest.approx(before["parameters"], rel=0.01)
    assert after["nonzero_parameters"] > 0.9 * after["parameters"]
    assert after["state_bytes"] < 0.5 * before["state_bytes"]
    assert log["max_difference_relative"] < 0.5


def test_int4_takes_the_blocks(exported: tuple[Any, Any], capfd: pytest.CaptureFixture[str]) -> None:
    quantized, log = applied(exported, mode="int4_sym", group_size=16)
    assert capfd.readouterr() == ("", "")
    model, context = exported
    assert log["weights"]["i4"] >= 2 * (4 * 32 * 32 + 2 * 32 * 64)
    assert quantized.measure_size()["parameters"] == pytest.approx(
        model.measure_size()["parameters"], rel=0.01
    )
    everything, _ = applied(exported, mode="int4_sym", group_size=16, all_layers=True)
    assert count_weight_types(everything.graph)["i4"] > log["weights"]["i4"]
    assert not np.array_equal(compute_model_scores(quantized, context), compute_model_scores(model, context))


def test_levels_fitted_on_calibration_rows(exported: tuple[Any, Any]) -> None:
    quantized, log = applied(
        exported, mode="int4_asym", group_size=16, scale_estimation=True, awq=True, rows=8
    )
    assert log["calibration_rows"] == 8
    assert count_weight_types(quantized.graph)["u4"] > 0


def test_groups_that_do_not_divide_a_row_are_one_line(exported: tuple[Any, Any]) -> None:
    with pytest.raises(BuildError, match=r"nncf: ") as caught:
        applied(exported, mode="int4_sym", group_size=24)
    assert "\n" not in str(caught.value)


def test_options_of_int4_are_refused_with_int8() -> None:
    with pytest.raises(
        ValidationError, match='group_size is for int4 modes, but mode = "int8_asym" was given'
    ):
        Params(group_size=64)
    with pytest.raises(ValidationError, match="group_size is 0"):
        Params(mode="int4_sym", group_size=0)


@pytest.mark.parametrize("awq", [None, False], ids=["awq by default", "no awq"])
def test_rows_without_a_use_are_refused(awq: bool | None) -> None:
    with pytest.raises(ValidationError, match="rows needs awq = true or scale_estimation = true"):
        Params(mode="int4_sym", rows=64, awq=awq)
    assert Params(mode="int4_sym", rows=64, scale_estimation=True).rows == 64
