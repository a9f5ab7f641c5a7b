"""to_ctranslate2 and its runtime with encoder-decoders: answers are those of PyTorch, and what files hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.models.architectures import ENCODER_DECODERS
from fixtures.models.building import make_tiny_context, save_model
from fixtures.models.encoder_decoders import PARAMS, compute_answers, make_tiny_pair_model
from slimgate._system.processor import has_saturating_sums, list_cpu_instructions
from slimgate.errors import BuildError, MeasureError, MissingExtra, SuiteError
from slimgate.models.ctranslate2_model import load_ctranslate2_model
from slimgate.plugins.loading import load
from slimgate.plugins.models import NEW_TOKENS, TimedWriter
from slimgate.runtimes import ctranslate2 as runtime
from slimgate.runtimes._ctranslate2 import CTranslate2Predictor
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.convert import to_ctranslate2 as step
from slimgate.suite.runtime_choice import find_runtime
from slimgate.tasks import text_to_text as task


@pytest.fixture(scope="module", params=ENCODER_DECODERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_tiny_pair_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_tiny_pair_model(tmp_path_factory.mktemp("t5"), "t5")


def converted(pair: tuple[Any, Any], scratch: Path, **options: Any) -> Any:
    model, context = pair
    context.scratch, context.log = scratch, {}
    return step.step.apply(model, step.Params(**options), context)


def loaded(folder: Path) -> CTranslate2Predictor:
    return runtime.runtime.load(folder, runtime.Params(), device="cpu", threads=1)


def test_float32_answers_are_those_of_pytorch(pair: tuple[Any, Any], tmp_path: Path) -> None:
    model, context = pair
    variant = converted(pair, tmp_path, quantization="float32")
    assert context.log["changed_answers"] == 0
    save_model(variant, tmp_path / "saved")
    rows = context.rows("train")
    eager = compute_answers(EagerPredictor(model.network, "cpu"), model.tokenizer, rows)
    ours = compute_answers(loaded(tmp_path / "saved"), variant.tokenizer, rows)
    same = [answer == other for answer, other in zip(eager, ours, strict=True)]
    assert sum(same) >= len(same) - 1  # text, ids, and whether it ended; but for a tie of rounding
    assert len({answer.ids for answer in ours}) > 1


def test_a_tokenizer_without_an_unknown_token_is_converted(tmp_path: Path) -> None:
    model, context = make_tiny_pair_model(tmp_path, "t5")
    model.tokenizer.unk_token = None
    variant = converted((model, context), tmp_path / "rows", quantization="float32")
    assert context.log["changed_answers"] == 0
    rows = context.rows("train")
    eager = compute_answers(EagerPredictor(model.network, "cpu"), model.tokenizer, rows)
    ours = compute_answers(runtime.runtime.open_model(variant, context), model.tokenizer, rows)
    same = [answer == other for answer, other in zip(eager, ours, strict=True)]
    assert sum(same) >= len(same) - 1  # but for a tie of rounding


def test_answers_end_where_those_of_pytorch_end(tmp_path: Path) -> None:
    model, context = make_tiny_pair_model(tmp_path, "bart")
    model.network.final_logits_bias[0, model.tokenizer.eos_token_id] = 2.0
    variant, rows = (
        converted((model, context), tmp_path / "rows", quantization="float32"),
        context.rows("train"),
    )
    eager = compute_answers(EagerPredictor(model.network, "cpu"), model.tokenizer, rows)
    ours = compute_answers(runtime.runtime.open_model(variant, context), model.tokenizer, rows)
    assert [(answer.ids, answer.ended) for answer in ours] == [(answer.ids, answer.ended) for answer in eager]
    lengths = {len(answer.ids) for answer in ours if answer.ended}
    assert 0 in lengths
    assert len(lengths) > 1


@pytest.mark.parametrize("quantization", ["int8", "int8_float32"])
def test_int8_keeps_most_answers_in_a_third_of_the_bytes(
    t5: tuple[Any, Any], tmp_path: Path, quantization: Any
) -> None:
    model, context = t5
    variant = converted(t5, tmp_path, quantization=quantization)
    assert context.log["agreement_rows"] == 16
    # without VNNI the sums of oneDNN's int8 products saturate
    assert context.log["changed_answers"] <= (0.75 if has_saturating_sums(list_cpu_instructions()) else 0.5)
    before, after = model.measure_size(), variant.measure_size()
    assert after["parameters"] == before["parameters"]
    assert after["state_bytes"] < 0.35 * before["state_bytes"]
    save_model(variant, tmp_path / "saved")
    again = load_ctranslate2_model(tmp_path / "saved")
    assert again.measure_size() == after
    assert again.quantization == quantization
    assert runtime.runtime.load_model is not None
    assert runtime.runtime.load_model(tmp_path / "saved", "cpu").kind == "ctranslate2"


def test_a_timed_call_writes_that_many_tokens(pair: tuple[Any, Any], tmp_path: Path) -> None:
    model, context = pair
    variant = converted(pair, tmp_path, quantization="float32")
    encoded = task.task.encode_rows(PARAMS, context.rows("calibration"), variant.tokenizer)
    batch = {**encoded.timed_batch([0, 1, 2]), NEW_TOKENS: torch.tensor([5]).numpy()}
    outputs = [
        writer.fetch(writer.forward(writer.prepare(batch)))
        for writer in (runtime.runtime.open_model(variant, context), EagerPredictor(model.network, "cpu"))
    ]
    assert outputs[0].shape == (3, 5)
    assert (outputs[0] == outputs[1]).all()
    predictor = runtime.runtime.open_model(variant, context)
    assert isinstance(predictor, TimedWriter)
    prepared = predictor.prepare(batch)
    predictor.prefill(prepared)  # and never decoded
    state = predictor.prefill(prepared)
    assert (predictor.fetch(predictor.decode(state)) == outputs[0]).all()
    # 2 blocks, keys and values of 32 numbers of 4 bytes, 3 rows of the text's tokens and 5 of the answer
    assert predictor.cache_bytes(state) == 2 * 2 * 32 * 4 * 3 * (batch["input_ids"].shape[1] + 5)


def test_it_executes_artifacts_of_its_kind_by_default() -> None:
    assert find_runtime("ctranslate2").name == "ctranslate2"


def test_it_gives_no_scores_and_draws_no_answers(t5: tuple[Any, Any], tmp_path: Path) -> None:
    model, context = t5
    predictor = runtime.runtime.open_model(converted(t5, tmp_path), context)
    encoded = task.task.encode_rows(PARAMS, context.rows("calibration"), model.tokenizer)
    with pytest.raises(
        BuildError, match="gives no scores of an encoder-decoder; use it in the task text_to_text"
    ):
        predictor.prepare(encoded.batch([0]))
    drawn = PARAMS.model_copy(update={"temperature": 1.0})
    with pytest.raises(MeasureError, match="can only choose the most likely token; set temperature = 0"):
        compute_answers(predictor, model.tokenizer, context.rows("calibration"), params=drawn)


def test_a_model_put_together_wrongly_is_found(tmp_path: Path) -> None:
    """Marian's padding token begins an answer as a vector of zeros, which CTranslate2 takes for granted."""
    model, context = make_tiny_pair_model(tmp_path, "marian")
    with torch.no_grad():
        model.network.get_input_embeddings().weight[-1] = torch.linspace(-5, 5, 32)
    with pytest.raises(
        BuildError, match=r"writes a different answer than .*: token 1 of calibration row r\d+ is"
    ):
        converted((model, context), tmp_path / "rows", quantization="float32")


def test_other_families_are_refused_before_a_model_loads() -> None:
    with pytest.raises(SuiteError, match="the model is of type phi, and slimgate converts t5, mt5, bart"):
        step.step.check(step.Params(), {"model_type": "phi"})


def test_a_task_without_answers_is_refused(t5: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="CTranslate2 writes answers, but models of this task do not"):
        step.step.apply(t5[0], step.Params(), make_tiny_context(tmp_path, calibration=8))


def test_layers_of_other_classes_are_refused(tmp_path: Path) -> None:
    model, context = make_tiny_pair_model(tmp_path, "t5")
    int8 = load("step", "int8_dynamic")
    with pytest.raises(BuildError, match="no transformers class can load the model"):
        step.step.apply(int8.apply(model, int8.Params(), context), step.Params(), context)


def test_the_extra_is_named(t5: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2.converters", None)
    with pytest.raises(
        MissingExtra, match=r'to_ctranslate2 needs an extra: pip install "slimgate\[ctranslate2\]"'
    ):
        converted(t5, tmp_path)
