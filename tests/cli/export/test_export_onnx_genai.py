"""`slimgate export` of an artifact of ONNX Runtime GenAI: that library alone answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.kept_models import run_readme, store_run
from slimgate.cli.main import main
from slimgate.models.write_answers import SamplingParams, write_answers
from slimgate.runtimes import onnxruntime_genai as runtime
from slimgate.steps.convert import to_onnx_genai as step
from slimgate.tasks import text_generation

pytest.importorskip("onnxruntime_genai")
pytestmark = pytest.mark.slow
PARAMS = text_generation.Params(prompt="text", reference="label", max_new_tokens=40)


def answers_of(predictor: Any, model: Any, context: Any) -> tuple[list[str], list[str]]:
    """Texts, and what the model writes to them."""
    texts = context.rows("calibration").table["text"].to_pylist()
    encoded = text_generation.task.encode_prompts(PARAMS, context.rows("calibration"), model.tokenizer)
    prompts = list(encoded.columns["input_ids"])
    written = write_answers(predictor, model.tokenizer, prompts, texts, SamplingParams(max_new_tokens=40))
    return texts, [answer.text for answer in written]


def test_the_library_alone_gives_the_same_answers(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", task=text_generation.task, params=PARAMS, calibration=6)
    shape = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128}
    folder = write_tiny(tmp_path / "hub", "llama", causal=True, initializer_range=0.4, **shape)
    context.scratch = tmp_path
    converted = step.step.apply(load_tiny(folder, context), step.Params(precision="int4"), context)
    texts, answers = answers_of(runtime.runtime.open_model(converted, context), converted, context)
    run = store_run(tmp_path, "small", converted, "text_generation", PARAMS)
    out = tmp_path / "out"
    assert main(["export", str(run.record), "small", str(out), "--store", str(run.store)]) == 0
    assert not (out / "slimgate.json").exists()
    readme = (out / "README.md").read_text("utf-8")
    assert "pip install onnxruntime-genai transformers" in readme
    printed = run_readme(out, texts, "answers")  # of up to 64 tokens
    assert all(text.startswith(answer) for text, answer in zip(printed, answers, strict=True))
    assert len(set(answers)) > 1
    opened = runtime.runtime.load(out, runtime.Params(), device="cpu", threads=1)
    assert answers_of(opened, converted, context) == (texts, answers)
