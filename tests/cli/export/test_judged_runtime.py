"""The exported lines set the options that a model was judged with, or the card says that they do not."""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.cli.export.forms import Written
from slimgate.cli.export.stored import describe_runtime, read_judged_runtime, set_judged_options
from slimgate.plugins.loading import find_form, list_forms

OTHER_VALUES: dict[str, dict[str, Any]] = {
    "onnx": {"graph_optimization": "basic", "left_out": ["GeluFusion"]},
    "openvino": {
        "inference_precision": "bf16",
        "dynamic_quantization_group_size": 32,
        "execution_mode": "ACCURACY",
    },
    "openvino_decoder": {
        "inference_precision": "bf16",
        "kv_cache": "u8",
        "dynamic_quantization_group_size": 0,
    },
}


def written_as(form: str) -> Written:
    return Written(form, None, None)


def test_each_option_of_a_form_changes_its_lines() -> None:
    assert {name for name in list_forms() if find_form(name).options} == OTHER_VALUES.keys()
    for name, values in OTHER_VALUES.items():
        form, runtime = find_form(name), list_forms()[name][0]
        assert set(form.options) == values.keys()
        plain = form.load_lines(written_as(name).runtime.params)
        for option, value in values.items():
            written = set_judged_options(written_as(name), read_judged_runtime(runtime, {option: value}))
            assert form.load_lines(written.runtime.params) != plain, option


@pytest.mark.parametrize(
    ("form", "runtime", "params", "expected"),
    [
        ("openvino", "openvino", {"inference_precision": "bf16"}, None),
        (
            "openvino",
            "openvino",
            {"inference_precision": "bf16", "static_shapes": True},
            "it was judged with static_shapes = true, and the lines of README.md compute without this option",
        ),
        (
            "transformers",
            "compiled",
            {"precision": "bfloat16", "mode": "max-autotune"},
            'it was judged in the runtime compiled with mode = "max-autotune", precision = "bfloat16", and '
            "the lines of README.md compute without these options",
        ),
        ("transformers", "compiled", {"precision": "float32"}, "it was judged in the runtime compiled"),
        ("transformers", "eager", {"cache": "dynamic"}, None),
        (
            "transformers",
            "mine.py:fast",
            {},
            "it was judged in the runtime mine.py:fast, which is not known here",
        ),
        (
            "onnx",
            "onnxruntime",
            {},
            "the record does not contain the options of the runtime onnxruntime; measure again",
        ),
        (
            "onnx",
            "onnxruntime",
            {"level": 3},
            "the options in the record are not those of the runtime onnxruntime that is installed here",
        ),
    ],
    ids=["set", "one not set", "another", "defaults", "same", "unknown", "old record", "other options"],
)
def test_what_the_lines_do_not_set_is_reported(
    form: str, runtime: str, params: dict[str, Any], expected: str | None
) -> None:
    judged = read_judged_runtime(runtime, params)
    assert describe_runtime(set_judged_options(written_as(form), judged), judged) == expected
