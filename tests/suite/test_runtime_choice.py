"""The runtime of a variant whose suite names none: that of the kind which its steps leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.errors import BuildError, SuiteError
from slimgate.results.checks import TEACHER
from slimgate.suite.reader import load_suite
from slimgate.suite.runtime_choice import find_runtime
from slimgate.suite.suite import Suite, find_kind

GRAPH = """\
graph = { steps = [{ to_onnx = {} }] }
int8-graph = { from = "graph", steps = [{ onnx_int8_dynamic = {} }] }
"""
INT8 = 'int8 = { from = "student", steps = [{ int8_dynamic = {} }] }'


def loaded(bench: Path, text: str) -> Suite:
    (bench / "s.toml").write_text(text, "utf-8")
    return load_suite(bench / "s.toml", "s.toml")


def test_each_kind_has_its_runtime() -> None:
    assert find_runtime("torch").name == find_runtime("torch_quantized").name == "eager"
    assert find_runtime("onnx").name == "onnxruntime"
    with pytest.raises(BuildError, match=r"no runtime executes artifacts of kind stone; known: .*eager"):
        find_runtime("stone")


def test_steps_that_change_the_kind_change_the_runtime(bench: Path, suite_text: str) -> None:
    suite = loaded(bench, suite_text.replace(INT8, GRAPH))
    models = {TEACHER: suite.teacher, **suite.variants}
    kinds = {name: find_kind(variant, models) for name, variant in models.items()}
    assert kinds == {TEACHER: "torch", "student": "torch", "graph": "onnx", "int8-graph": "onnx"}
    names = {name: variant.runtime.name for name, variant in models.items()}
    assert names == {
        TEACHER: "eager",
        "student": "eager",
        "graph": "onnxruntime",
        "int8-graph": "onnxruntime",
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            '[{ to_onnx = {} }], runtime = { name = "eager" }',
            "eager cannot execute an artifact of kind onnx, only of .*torch_quantized",
        ),
        (
            "[{ to_onnx = {} }, { int8_dynamic = {} }]",
            r"of kind onnx, expected torch.*: put it before to_onnx$",
        ),
    ],
    ids=["a runtime for PyTorch", "a step for PyTorch"],
)
def test_what_cannot_take_a_graph_is_an_error(bench: Path, suite_text: str, wrong: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        loaded(bench, suite_text.replace(INT8, f"graph = {{ steps = {wrong} }}"))
