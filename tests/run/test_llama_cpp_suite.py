"""Suites with GGUF files: run by llama.cpp if the suite says so, or if transformers does not read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.tiny_suite import CAUSAL, make_run, write_tiny_rows
from support.versions import needs_llama_cpp

from fixtures.models.gguf_edits import copy_gguf
from fixtures.models.gguf_models import make_byte_level_llama
from slimgate.errors import SuiteError
from slimgate.steps.convert import to_gguf

pytest.importorskip("torch")

pytestmark = [pytest.mark.slow, needs_llama_cpp]
MODELS = """\
[teacher]
model = "llama.gguf"
runtime = { name = "llama_cpp", kv_cache = "f32", flash_attention = "off" }
[variants.unpacked]
model = "llama.gguf"
[variants.of-its-own]
model = "xverse.gguf"
[measure]
workloads = [{ batch = 1 }]
"""
SUITE = CAUSAL + MODELS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite")
    model, context = make_byte_level_llama(path)
    artifact = to_gguf.step.apply(model, to_gguf.Params(type="Q8_0"), context)
    (artifact.folder / "model.gguf").rename(path / "llama.gguf")
    copy_gguf(path / "llama.gguf", path / "xverse.gguf", architecture="xverse")
    write_tiny_rows(path)
    return path


def test_kernels_and_unpacked_weights_give_the_same_perplexity(folder: Path) -> None:
    run = make_run(folder, SUITE)
    kinds = {name: run.build(name).artifact.kind for name in ("teacher", "unpacked", "of-its-own")}
    assert kinds == {"teacher": "gguf", "unpacked": "quantized_checkpoint", "of-its-own": "gguf"}
    assert run.suite.model("of-its-own").runtime.name == "llama_cpp"
    assert run.suite.timed == ("teacher", "of-its-own")
    teacher = run.build("teacher").artifact.manifest
    assert teacher["stored"]["scheme"] == "Q8_0"
    assert teacher["bytes"] == (folder / "llama.gguf").stat().st_size
    nats = {name: run.measure_outcomes(name).column("nats") for name in ("teacher", "unpacked")}
    assert np.abs(nats["teacher"] / nats["unpacked"] - 1).max() < 0.02, (
        "llama.cpp rounds activations to 8 bits"
    )
    assert not np.array_equal(nats["teacher"], nats["unpacked"])
    assert np.isfinite(run.measure_outcomes("of-its-own").column("nats")).all()


def test_a_dtype_for_llama_cpp_is_one_line(folder: Path) -> None:
    text = SUITE.replace(
        '[teacher]\nmodel = "llama.gguf"\n', '[teacher]\nmodel = "llama.gguf"\ndtype = "bfloat16"\n'
    )
    with pytest.raises(
        SuiteError, match=r"llama\.cpp cannot change the number types of a GGUF file; leave dtype out"
    ):
        make_run(folder, text)


def test_no_step_takes_the_file(folder: Path) -> None:
    text = SUITE + "[variants.pruned]\nsteps = [{ magnitude_prune = { sparsity = 0.5 } }]\n"
    with pytest.raises(SuiteError, match="cannot start from an artifact of kind gguf"):
        make_run(folder, text)
