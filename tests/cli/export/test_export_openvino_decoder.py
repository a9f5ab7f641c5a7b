"""`slimgate export` of a decoder in OpenVINO: that library alone answers the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.versions import needs

from fixtures.models.kept_models import run_readme, store_run
from fixtures.models.tiny_decoders import PARAMS, compute_answers, encode_prompts, make_tiny_decoder
from slimgate.cli.main import main
from slimgate.models.write_answers import SamplingParams
from slimgate.runtimes import openvino_decoder as runtime
from slimgate.steps.convert import openvino_weights
from slimgate.steps.convert import to_openvino_decoder as step

pytest.importorskip("openvino")
pytestmark = [pytest.mark.slow, needs("transformers>=5.18")]
SAMPLING = SamplingParams(max_new_tokens=40)


def test_the_library_alone_gives_the_same_answers(tmp_path: Path) -> None:
    model, context = make_tiny_decoder(tmp_path, "llama", max_position_embeddings=128, num_hidden_layers=1)
    model.network.generation_config.eos_token_id = [model.tokenizer.eos_token_id, 9]
    exported = step.step.apply(model, step.Params(), context)
    compressed = openvino_weights.step.apply(exported, openvino_weights.Params(), context)
    texts = context.rows("train").table["text"].to_pylist()[:6]
    prompts = encode_prompts(context, compressed.tokenizer)[:6]
    written = compute_answers(
        runtime.runtime.open_model(compressed, context), compressed.tokenizer, prompts, SAMPLING
    )
    answers = [answer.text for answer in written]
    run = store_run(tmp_path, "small", compressed, "text_generation", PARAMS)
    out = tmp_path / "out"
    assert main(["export", str(run.record), "small", str(out), "--store", str(run.store)]) == 0
    assert not (out / "slimgate.json").exists()
    assert "pip install openvino transformers" in (out / "README.md").read_text("utf-8")
    printed = run_readme(out, texts, "answers")  # of up to 64 tokens
    assert all(text.startswith(answer) for text, answer in zip(printed, answers, strict=True))
    assert [text for text, answer in zip(printed, written, strict=True) if answer.ended] == [
        answer.text for answer in written if answer.ended
    ]
    assert len(set(answers)) > 1
    opened = runtime.runtime.load(out, runtime.Params(), device="cpu", threads=1)
    assert compute_answers(opened, compressed.tokenizer, prompts, SAMPLING) == written
