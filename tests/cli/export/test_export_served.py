"""`slimgate export` of folders that servers load: copied, answering the same, with the servers named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.building import NEXT_TOKEN, make_tiny_causal
from fixtures.models.gguf_models import make_bert_encoder, make_byte_level_llama
from fixtures.models.kept_models import predict_with_readme, store_run
from slimgate.cli.export.snippets import LAYOUTS, describe_servers
from slimgate.cli.main import main
from slimgate.models.served import load_served
from slimgate.steps.convert import to_gguf
from slimgate.steps.quantize import compressed_tensors

TEXTS = ["good film the plot", "bad movie was"]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    pytest.importorskip("compressed_tensors")
    model, context = make_tiny_causal(tmp_path, calibration=8)
    params = compressed_tensors.Params(scheme="W4A16", group_size=16)
    quantized = compressed_tensors.step.apply(model, params, context)
    return store_run(tmp_path, "small", quantized, "causal_lm", NEXT_TOKEN)


def export(run: Any, tmp_path: Path, *more: str) -> int:
    return main(["export", str(run.record), "small", str(tmp_path / "out"), "--store", str(run.store), *more])


def test_the_folder_predicts_without_slimgate(
    tmp_path: Path, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(run, tmp_path) == 0
    out = tmp_path / "out"
    printed = capsys.readouterr().out
    assert ": wrote " in printed
    assert " in the format compressed-tensors; README.md there" in printed
    assert "documented to load compressed-tensors: vLLM, SGLang, transformers" in printed
    readme = (out / "README.md").read_text("utf-8")
    assert "pip install torch transformers compressed-tensors" in readme
    assert "Documented to load compressed-tensors: vLLM, SGLang, transformers." in readme
    assert "$ vllm serve .\n$ python -m sglang.launch_server --model-path .\n" in readme
    assert not (out / "slimgate.json").exists()
    stored = next((run.store / "artifacts").iterdir())
    assert (out / "model.safetensors").read_bytes() == (stored / "model.safetensors").read_bytes()
    model = load_served(stored, "cpu")
    batch = model.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model.network(**batch).logits.numpy()
    assert np.abs(predict_with_readme(out, TEXTS, "scores") - logits).max() < 1e-5


def test_another_form_is_refused(tmp_path: Path, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(run, tmp_path, "--format", "onnx") == 4
    assert capsys.readouterr().err.splitlines() == [
        "slimgate export: writing small",
        "slimgate export: small: its weights are in a layout for servers, which --format onnx cannot "
        "write; leave --format out",
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_gguf_file_loads_by_the_readmes_lines(tmp_path: Path) -> None:
    model, context = make_byte_level_llama(tmp_path)
    converted = to_gguf.step.apply(model, to_gguf.Params(type="Q8_0"), context)
    batch = converted.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = converted.network(**batch).logits.numpy()
    assert export(store_run(tmp_path, "small", converted, "causal_lm", NEXT_TOKEN), tmp_path) == 0
    assert np.abs(predict_with_readme(tmp_path / "out", TEXTS, "scores") - logits).max() < 1e-5
    assert "$ llama-server -m model.gguf\n" in (tmp_path / "out/README.md").read_text("utf-8")


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.slow
def test_a_gguf_file_of_an_encoder_is_for_llama_cpp_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, context = make_bert_encoder(tmp_path)
    converted = to_gguf.step.apply(model, to_gguf.Params(type="Q8_0"), context)
    run = store_run(tmp_path, "small", converted, "sentence_embedding", context.task_params)
    assert export(run, tmp_path) == 0
    assert "documented to load gguf of an encoder: llama.cpp\n" in capsys.readouterr().out
    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "$ llama-embedding -m model.gguf -p" in readme
    assert "from_pretrained" not in readme
    assert "llama-server" not in readme


def test_a_format_that_is_not_in_the_table_has_no_line() -> None:
    assert describe_servers("vptq") is None
    assert describe_servers("gguf") == "documented to load gguf: llama.cpp, transformers"
    assert all(layout.servers for layout in LAYOUTS.values())
