"""A step that needs calibration rows, in a suite that has none: told before any model loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.models.tiny import write_rows
from slimgate.errors import DataError, SuiteError
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.plugins.step import Step
from slimgate.run.rows import prepare_rows
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite

INT8 = 'int8 = { from = "student", steps = [{ int8_dynamic = {} }] }'
NEEDS = [
    "int8_static = {}",
    'drop_layers = { layers = 1, strategy = "influence" }',
    "prune_heads = { heads = 1 }",
    "low_rank = { rank_ratio = 0.5 }",
    "to_onnx = {}",
    "to_openvino = {}",
    "to_aoti = {}",
]
DOES_WITHOUT = [
    "drop_layers = { layers = 1 }",
    'prune_heads = { heads = 1, importance = "magnitude" }',
    'prune_ffn = { pruning_ratio = 0.5, importance = "magnitude" }',
    "low_rank = { rank_ratio = 0.5, activation_aware = false }",
    "n_m_prune = {}",
    "trim_vocabulary = {}",
    "factorize_embeddings = { rank = 4 }",
    "quantization_aware_training = {}",
]


def suite_of(bench: Path, text: str, step: str, sizes: str = "calibration = 0") -> Suite:
    assert INT8 in text
    path = bench / "x.toml"
    text = text.replace(INT8, f"made = {{ steps = [{{ {step} }}] }}").replace("calibration = 16", sizes)
    path.write_text(text.replace(", , ", ", "))
    return load_suite(path, "bench/x.toml")


@pytest.mark.parametrize("step", NEEDS, ids=lambda step: step.split()[0])
def test_a_suite_without_calibration_rows_is_refused(bench: Path, suite_text: str, step: str) -> None:
    with pytest.raises(SuiteError) as caught:
        suite_of(bench, suite_text, step)
    name = step.split()[0]
    assert str(caught.value) == (
        f"bench/x.toml [variants.made] steps[0].{name}: needs rows of the split calibration, and [task] "
        "splits.calibration = 0 was given; give it some, such as calibration = 512"
    )
    assert suite_of(bench, suite_text, step, "calibration = 16").variants


@pytest.mark.parametrize("step", DOES_WITHOUT, ids=lambda step: step.split()[0])
def test_options_that_read_no_calibration_rows_need_none(bench: Path, suite_text: str, step: str) -> None:
    assert suite_of(bench, suite_text, step).variants


def test_too_few_rows_without_a_stated_size_are_an_error(bench: Path, suite_text: str) -> None:
    write_rows(bench / "rows.csv", 19)
    text = suite_text.replace("train = 60, calibration = 16, selection = 24, gate = 60", "selection = 2")
    text = text.replace('group = "file"\n', "")
    store = Store(bench.parent / "store")
    path = bench / "x.toml"
    path.write_text(text.replace(INT8, "made = { steps = [{ to_onnx = {} }] }"))
    with pytest.raises(
        DataError, match=r"^bench/x.toml \[task\]: made: step to_onnx needs rows of the split"
    ):
        prepare_rows(load_suite(path, "bench/x.toml"), store)
    path.write_text(text)
    assert len(prepare_rows(load_suite(path, "bench/x.toml"), store).splits["calibration"]) == 0


def test_what_a_step_does_without_is_among_what_it_reads() -> None:
    for name in list_known_plugins("step"):
        step = load("step", name)
        assert type(step).does_without is Step.does_without or "calibration" in step.reads, name
