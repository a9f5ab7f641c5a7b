"""Suites with models that are quantized already: what is built, kept, timed, refused and exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.tiny_suite import CAUSAL, make_run, write_tiny_rows

from fixtures.models.quantized import WRITERS, write_tiny_llama
from slimgate.cli.export.forms import write_form
from slimgate.errors import BuildError, SuiteError
from slimgate.models.quantized_files import CHECKPOINT
from slimgate.run.gate_results import list_expected_checks
from slimgate.run.run import SuiteRun

MODELS = """\
[teacher]
model = "llama"
[variants.w8]
model = "w8"
[variants.wide]
model = "w8"
dtype = "float32"
[variants.int8]
steps = [{ int8_dynamic = {} }]
[measure]
workloads = [{ batch = 1 }]
"""
SUITE = CAUSAL + MODELS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite")
    source = write_tiny_llama(path / "llama")
    WRITERS["compressed_tensors_w8a8"](source, path / "w8")
    write_tiny_rows(path)
    return path


def run_of(folder: Path, more: str = "", **replaced: str) -> SuiteRun:
    text = SUITE
    for old, new in replaced.items():
        text = text.replace(old, new)
    return make_run(folder, text + more)


def test_an_artifact_has_the_bytes_of_its_files(folder: Path) -> None:
    built = run_of(folder).build("w8").artifact
    assert built.kind == CHECKPOINT
    assert built.manifest["bytes"] == sum(file.stat().st_size for file in (folder / "w8").iterdir())
    assert built.manifest["stored"]["scheme"] == "W8A8"
    assert built.manifest["log"]["stored"]["dtype"] == "bfloat16"


def test_the_teacher_keeps_16_bits_and_a_step_gets_32(folder: Path) -> None:
    run = run_of(folder)
    teacher, step = (run.build(name).artifact for name in ("teacher", "int8"))
    assert teacher.load("cpu").network.dtype == torch.bfloat16
    assert step.load("cpu").network.model.embed_tokens.weight.dtype == torch.float32


def test_dtype_is_part_of_the_stores_key(folder: Path) -> None:
    run = run_of(folder)
    stored, wide = (run.build(name).artifact for name in ("w8", "wide"))
    assert stored.folder != wide.folder
    assert wide.manifest["stored"]["dtype"] == "float32"
    assert wide.load("cpu").network.dtype == torch.float32


def test_unpacked_weights_are_not_timed(folder: Path) -> None:
    suite = run_of(folder).suite
    assert suite.timed == ("teacher", "int8")
    assert suite.dueled == ("int8",)
    timed = {
        name for kind, name, _ in list_expected_checks(suite) if kind in ("latency", "speedup", "memory")
    }
    assert timed == {"teacher", "int8"}


def test_a_teacher_of_unpacked_weights_is_compared_with_nothing(folder: Path) -> None:
    suite = run_of(
        folder, **{'model = "llama"': 'model = "w8"', "steps = [{ int8_dynamic = {} }]": 'model = "llama"'}
    ).suite
    assert (suite.timed, suite.dueled, suite.variants_with_memory) == (("int8",), (), ())


@pytest.mark.parametrize(
    ("budget", "off"),
    [("latency", "{ speedup_min = 1.5 }"), ("memory", "{ memory_ratio_max = 0.9 }")],
)
def test_a_budget_on_times_of_unpacked_weights_is_an_error(folder: Path, budget: str, off: str) -> None:
    with pytest.raises(
        SuiteError, match=rf"\[budgets\.{budget}\]: w8 has quantized weights .* = \"off\""
    ) as raised:
        run_of(folder, f"[budgets]\n{budget} = {off}\n")
    assert "\n" not in str(raised.value)


def test_a_step_of_floats_does_not_take_a_quantized_model(folder: Path) -> None:
    problem = r"cannot start from an artifact of kind quantized_checkpoint, expected .* already quantized"
    with pytest.raises(SuiteError, match=problem):
        run_of(folder, '[variants.twice]\nfrom = "w8"\nsteps = [{ int8_dynamic = {} }]\n')


def test_exported_files_are_those_that_were_judged(folder: Path, tmp_path: Path) -> None:
    artifact = run_of(folder).build("w8").artifact
    written = write_form(artifact, None, tmp_path, tmp_path)
    assert (written.form, written.layout, written.auto) == (
        "transformers",
        "compressed-tensors",
        "AutoModelForCausalLM",
    )
    for file in (folder / "w8").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(BuildError, match="--format onnx cannot write"):
        write_form(artifact, "onnx", tmp_path, tmp_path)
