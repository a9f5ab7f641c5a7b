"""`slimgate export` of a CTranslate2 artifact: ctranslate2 alone opens the folder and answers the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.models.encoder_decoders import PARAMS, compute_answers, make_tiny_pair_model
from fixtures.models.kept_models import run_readme, store_run
from fixtures.models.tiny_decoders import PARAMS as GENERATION
from fixtures.models.tiny_decoders import compute_answers as decoder_answers
from fixtures.models.tiny_decoders import encode_prompts, make_tiny_decoder
from slimgate.cli.main import main
from slimgate.models.ctranslate2_model import load_ctranslate2_model
from slimgate.models.write_answers import SamplingParams
from slimgate.runtimes import ctranslate2 as runtime
from slimgate.steps.convert import to_ctranslate2 as step

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Exported:
    """The folder that the command wrote, texts, and what the model answered to them before."""

    model: Any
    context: Any
    folder: Path
    texts: list[str]
    ids: list[tuple[int, ...]]
    answers: list[str]


def export(root: Path, architecture: str, *, forced: str | None = None) -> Exported:
    model, context = make_tiny_pair_model(root, architecture)
    if forced is not None:
        model.network.generation_config.forced_bos_token_id = model.tokenizer.convert_tokens_to_ids(forced)
    context.scratch, context.log = root / "scratch", {}
    converted = step.step.apply(model, step.Params(quantization="int8"), context)
    rows = context.rows("train")
    written = compute_answers(runtime.runtime.open_model(converted, context), converted.tokenizer, rows)
    run = store_run(root, "small", converted, "text_to_text", PARAMS)
    code = main(["export", str(run.record), "small", str(root / "out"), "--store", str(run.store)])
    assert code == 0
    texts = rows.table["text"].to_pylist()
    ids, answers = [tuple(answer.ids) for answer in written], [answer.text for answer in written]
    return Exported(converted, context, root / "out", texts, ids, answers)


def starts_alike(long: list[str], short: list[str]) -> bool:
    """The lines of the model card write up to 64 tokens, the task up to 8."""
    return all(text.startswith(other) for text, other in zip(long, short, strict=True))


@pytest.mark.parametrize("architecture", ["t5", "bart", "marian"])
def test_ctranslate2_alone_gives_the_same_answers(tmp_path: Path, architecture: str) -> None:
    exported = export(tmp_path, architecture)
    assert not (exported.folder / "slimgate.json").exists()
    assert not (exported.folder / "ctranslate2").exists()
    readme = (exported.folder / "README.md").read_text("utf-8")
    assert "pip install ctranslate2 transformers" in readme
    assert 'translator = ctranslate2.Translator(".")' in readme
    printed = run_readme(exported.folder, exported.texts, "answers")
    assert starts_alike(printed, exported.answers)
    assert len(set(exported.answers)) > 1


def test_a_first_token_that_the_model_forces_is_in_the_lines(tmp_path: Path) -> None:
    exported = export(tmp_path, "bart", forced="film")
    assert "target_prefix=[['film']] * len(tokens)" in (exported.folder / "README.md").read_text("utf-8")
    assert all(answer.startswith("film") for answer in exported.answers)
    assert starts_alike(run_readme(exported.folder, exported.texts, "answers"), exported.answers)


def test_the_folder_opens_in_slimgate_too(tmp_path: Path) -> None:
    exported = export(tmp_path, "t5")
    again = load_ctranslate2_model(exported.folder)
    assert (again.answers.forced, again.quantization, again.counts) == ((), "int8", exported.model.counts)
    written = compute_answers(
        runtime.runtime.open_model(again, exported.context), again.tokenizer, exported.context.rows("train")
    )
    assert [tuple(answer.ids) for answer in written] == exported.ids


def test_a_decoder_alone_gives_the_same_answers(tmp_path: Path) -> None:
    model, context = make_tiny_decoder(tmp_path, "llama", max_position_embeddings=128)
    model.network.generation_config.eos_token_id = [model.tokenizer.eos_token_id, 9]
    converted = step.step.apply(model, step.Params(quantization="int8"), context)
    texts = context.rows("train").table["text"].to_pylist()[:6]
    prompts, sampling = encode_prompts(context, converted.tokenizer)[:6], SamplingParams(max_new_tokens=40)
    written = decoder_answers(
        runtime.runtime.open_model(converted, context), converted.tokenizer, prompts, sampling
    )
    run = store_run(tmp_path, "small", converted, "text_generation", GENERATION)
    out = tmp_path / "out"
    assert main(["export", str(run.record), "small", str(out), "--store", str(run.store)]) == 0
    assert 'generator = ctranslate2.Generator(".")' in (out / "README.md").read_text("utf-8")
    printed = run_readme(out, texts, "answers")
    assert starts_alike(printed, [answer.text for answer in written])
    assert [text for text, answer in zip(printed, written, strict=True) if answer.ended] == [
        answer.text for answer in written if answer.ended
    ]
    assert len(set(printed)) > 1
    opened = runtime.runtime.load(out, runtime.Params(), device="cpu", threads=1)
    assert decoder_answers(opened, converted.tokenizer, prompts, sampling) == written


def test_another_form_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(tmp_path, "t5")
    code = main(
        [
            *("export", str(tmp_path / "run"), "small", str(tmp_path / "other")),
            *("--store", str(tmp_path / "store"), "--format", "onnx"),
        ]
    )
    assert code == 4
    assert (
        "it was judged as a graph of ctranslate2, which --format onnx cannot write" in capsys.readouterr().err
    )
