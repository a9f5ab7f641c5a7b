"""The task text_to_text: what a model reads and learns, its answers, and calls that are timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from fixtures.models.architectures import ENCODER_DECODERS, write_tiny
from fixtures.models.building import load_tiny, save_and_load
from fixtures.models.encoder_decoders import (
    PARAMS,
    compute_answers,
    compute_outcomes,
    make_last_word_rows,
    make_pair_context,
    make_tiny_pair_model,
)
from slimgate.errors import BuildError, DataError, MeasureError, SuiteError
from slimgate.outcomes import RIGHT, SAME_ANSWERS
from slimgate.plugins.loading import load
from slimgate.plugins.models import NEW_TOKENS, ComparedModel, ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.eager import EagerPredictor
from slimgate.tasks import text_to_text as task
from slimgate.tasks.parts.answer_figures import find_faults
from slimgate.tasks.parts.generation import make_sampling_params
from slimgate.tasks.parts.objectives import NO_ANSWER, encode_training_rows, make_objective
from slimgate.tasks.parts.text_pairs import START

ROWS = Rows(
    pa.table(
        {
            "id": ["r0", "r1", "r2"],
            "text": ["good film", "the plot was very bad", "nice"],
            "answer": ["film", "plot", None],
        }
    )
)


@pytest.fixture(scope="module", params=ENCODER_DECODERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_tiny_pair_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_tiny_pair_model(tmp_path_factory.mktemp("t5"), "t5")


# --- what is read, and what is learnt


def test_the_decoder_reads_the_answer_behind_the_start_token(pair: tuple[Any, Any]) -> None:
    model, _ = pair
    encoded = task.task.encode_rows(PARAMS, ROWS, model.tokenizer)
    start, end, pad = (
        model.config.decoder_start_token_id,
        model.tokenizer.eos_token_id,
        model.tokenizer.pad_token_id,
    )
    film, plot = (model.tokenizer.convert_tokens_to_ids(word) for word in ("film", "plot"))
    batch = encoded.batch([0, 1])
    assert batch["decoder_input_ids"].tolist() == [[start, film], [start, plot]]
    assert encoded.answers == [[film, end], [plot, end], []]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1] * 5]
    assert batch["input_ids"][0, 2:].tolist() == [pad] * 3
    assert encoded.batch([2])["decoder_input_ids"].tolist() == [[start]]


def test_answers_of_different_lengths_are_padded_on_the_right(t5: tuple[Any, Any]) -> None:
    model, context = t5
    rows = Rows(pa.table({"id": ["a", "b"], "text": ["good", "bad"], "answer": ["good film is", "bad"]}))
    encoded = task.task.encode_rows(PARAMS, rows, model.tokenizer)
    targets = task.task.targets(PARAMS, rows, TaskFacts(()), encoded)
    assert encoded.batch([0, 1])["decoder_input_ids"].shape == (2, 4)
    assert targets[[0, 1]][1].tolist()[2:] == [NO_ANSWER] * 2
    logits, flat = make_objective(task.task, PARAMS).flat(
        model.network(**{k: torch.from_numpy(v) for k, v in encoded.batch([0, 1]).items()}).logits,
        torch.from_numpy(targets[[0, 1]]),
    )
    assert logits.shape == (6, model.config.vocab_size)  # four tokens of one answer, two of the other
    assert len(flat) == 6
    assert context.task is task.task


def test_the_loss_is_that_of_transformers(pair: tuple[Any, Any]) -> None:
    model, context = pair
    encoded, targets = encode_training_rows(model, context)
    positions = list(range(8))
    batch = {name: torch.from_numpy(values) for name, values in encoded.batch(positions).items()}
    labels = torch.from_numpy(targets[positions])
    objective = make_objective(task.task, PARAMS)
    with torch.inference_mode():
        logits, flat = objective.flat(model.network(**batch).logits, labels)
        ours = objective.losses(logits, flat).mean()
        del batch["decoder_input_ids"]
        theirs = model.network(**batch, labels=labels.masked_fill(labels == NO_ANSWER, -100)).loss
    torch.testing.assert_close(ours, theirs)


def test_rows_can_be_taken_and_joined(t5: tuple[Any, Any]) -> None:
    encoded = task.task.encode_rows(PARAMS, ROWS, t5[0].tokenizer)
    joined = encoded.take([1]).join(encoded.take([0]))
    assert joined.answers == [encoded.answers[1], encoded.answers[0]]
    assert list(joined.keys) == ["r1", "r0"]
    assert joined.tokens == 5 + 2 + 2 + 2


def test_a_row_without_a_reference_cannot_be_learnt(t5: tuple[Any, Any]) -> None:
    encoded = task.task.encode_rows(PARAMS, ROWS, t5[0].tokenizer)
    with pytest.raises(DataError, match=r"row r2 has no reference to learn from.*sequence_distill"):
        task.task.targets(PARAMS, ROWS, TaskFacts(()), encoded)


def test_long_texts_are_cut(t5: tuple[Any, Any]) -> None:
    params = PARAMS.model_copy(update={"max_tokens": 3})
    assert task.task.encode_rows(params, ROWS, t5[0].tokenizer).lengths.tolist() == [2, 3, 1]


def test_a_folder_without_a_start_token_is_refused(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "hub", "bart", causal=True, decoder_start_token_id=None)
    with pytest.raises(BuildError, match="has decoder_start_token_id, the token that an answer begins with"):
        load_tiny(folder, make_pair_context(tmp_path / "rows"))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM, expected an encoder-decoder"),
        (
            {"is_encoder_decoder": False},
            "model with only an encoder or only a decoder, expected an encoder-decoder",
        ),
        (
            {"is_encoder_decoder": True, "model_type": "bart", "max_position_embeddings": 16},
            "max_tokens = 32, but .* has positions for 16 tokens",
        ),
    ],
)
def test_models_that_cannot_serve_are_refused_by_configuration(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(SuiteError, match=problem):
        task.task.check_model(PARAMS, ModelRef("m", fresh=True), config, None)
    task.task.check_model(PARAMS, ModelRef("m", fresh=True), {"model_type": "t5", "n_positions": 16}, None)


def test_options_are_those_of_generation() -> None:
    assert task.task.default_metrics_with(PARAMS) == (
        "exact_match",
        SAME_ANSWERS,
        "truncated",
        "empty",
        "looping",
    )
    assert RIGHT in task.task.provides_with(PARAMS)
    with pytest.raises(ValidationError, match="repeats = 3 was given without a temperature"):
        task.Params(text="a", repeats=3)


# --- answers


def test_greedy_answers_are_transformers_of_one_text_alone(pair: tuple[Any, Any]) -> None:
    model, context = pair
    rows = context.rows("calibration")
    ours = compute_answers(EagerPredictor(model.network, "cpu"), model.tokenizer, rows)
    for text, answer in zip(rows.table["text"].to_pylist(), ours, strict=True):
        inputs = model.tokenizer(text, return_tensors="pt")
        # BART ends every answer at its length, which would hide that it was cut
        options = {"max_new_tokens": 8, "do_sample": False, "forced_eos_token_id": None}
        ids = model.network.generate(**inputs, **options)[0, 1:].tolist()
        end = model.tokenizer.eos_token_id
        assert list(answer.ids) == (ids[: ids.index(end)] if end in ids else ids)
        assert answer.ended == (end in ids)


def test_answers_do_not_depend_on_batch_or_order(pair: tuple[Any, Any]) -> None:
    model, context = pair
    predictor, rows = EagerPredictor(model.network, "cpu"), context.rows("calibration")
    texts = [answer.text for answer in compute_answers(predictor, model.tokenizer, rows)]
    for plan in (AnswerPlan(1), AnswerPlan(5, order=np.arange(16)[::-1].copy())):
        again = compute_answers(predictor, model.tokenizer, rows, plan=plan)
        assert sum(answer.text != text for answer, text in zip(again, texts, strict=True)) <= 1  # rounding


def test_drawn_answers_have_their_own_noise(t5: tuple[Any, Any]) -> None:
    model, context = t5
    drawn = PARAMS.model_copy(update={"temperature": 5.0, "seed": 3})
    predictor, rows = EagerPredictor(model.network, "cpu"), context.rows("calibration")
    first, again = (
        [answer.ids for answer in compute_answers(predictor, model.tokenizer, rows, params=drawn, plan=plan)]
        for plan in (AnswerPlan(16), AnswerPlan(3))
    )
    greedy = [answer.ids for answer in compute_answers(predictor, model.tokenizer, rows)]
    assert sum(ids != other for ids, other in zip(first, again, strict=True)) <= 1
    assert first != greedy


def test_answers_longer_than_the_positions_are_refused(tmp_path: Path) -> None:
    model, context = make_tiny_pair_model(tmp_path, "bart", max_position_embeddings=32)
    long = PARAMS.model_copy(update={"max_new_tokens": 40})
    with pytest.raises(
        MeasureError, match="max_new_tokens is 40, but BartForConditionalGeneration has positions"
    ):
        compute_answers(
            EagerPredictor(model.network, "cpu"), model.tokenizer, context.rows("selection"), params=long
        )


def test_a_model_is_saved_and_loaded_with_start_and_generation(pair: tuple[Any, Any], tmp_path: Path) -> None:
    model, context = pair
    model.network.generation_config.bad_words_ids = [[7]]
    again, rows = save_and_load(model, tmp_path / "saved"), context.rows("calibration")
    assert again.network.generation_config.bad_words_ids == [[7]]
    assert again.tokenizer.init_kwargs[START] == model.tokenizer.init_kwargs[START]
    before, after = (
        [answer.ids for answer in compute_answers(EagerPredictor(m.network, "cpu"), m.tokenizer, rows)]
        for m in (model, again)
    )
    assert before == after
    assert not any(7 in ids for ids in after)  # words that the model's own files ban
    encoded = task.task.row_encoder(PARAMS, tmp_path / "saved")(rows)
    assert encoded.start == model.config.decoder_start_token_id
    model.network.generation_config.bad_words_ids = None


def test_a_fresh_tokenizer_ends_texts_and_answers_begin_with_pad(tmp_path: Path) -> None:
    write_tiny(tmp_path / "hub", "t5", causal=True)
    (tmp_path / "fresh").mkdir()
    config = json.loads((tmp_path / "hub/config.json").read_text("utf-8"))
    (tmp_path / "fresh/config.json").write_text(json.dumps(config | {"vocab_size": 300}), "utf-8")
    context = make_pair_context(tmp_path / "rows")
    model = task.task.load_model(PARAMS, ModelRef("fresh", tmp_path / "fresh", fresh=True), context)
    encoded = task.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    assert encoded.start == model.tokenizer.pad_token_id == model.config.decoder_start_token_id
    assert {ids[-1] for ids in encoded.columns["input_ids"]} == {model.tokenizer.eos_token_id}
    assert model.tokenizer.eos_token_id == model.config.eos_token_id


# --- a call that is timed, and its operations


def test_a_timed_call_writes_the_longest_answers_tokens(pair: tuple[Any, Any]) -> None:
    model, _ = pair
    encoded = task.task.encode_rows(PARAMS, ROWS, model.tokenizer)
    predictor = EagerPredictor(model.network, "cpu")
    batch = encoded.timed_batch([0, 1, 2], 6)
    assert batch["input_ids"].shape == (3, 6)
    assert batch[NEW_TOKENS].tolist() == [2]
    assert predictor.fetch(predictor.forward(predictor.prepare(batch))).shape == (3, 2)
    assert encoded.timed_batch([2])[NEW_TOKENS].tolist() == [PARAMS.max_new_tokens]


def test_the_compiled_runtime_writes_no_text(t5: tuple[Any, Any]) -> None:
    from slimgate.runtimes.compiled import CompiledPredictor

    encoded = task.task.encode_rows(PARAMS, ROWS, t5[0].tokenizer)
    predictor = CompiledPredictor.__new__(CompiledPredictor)  # without compiling anything
    predictor.network = t5[0].network
    with pytest.raises(
        BuildError, match="compiled compiles one forward pass and cannot generate text with an encoder"
    ):
        predictor.prepare(encoded.timed_batch([0]))


@pytest.mark.parametrize("name", ["to_onnx", "to_openvino", "to_aoti"])
def test_formats_of_one_forward_pass_refuse_an_encoder_decoder(name: str) -> None:
    step = load("step", name)
    with pytest.raises(SuiteError, match="use to_ctranslate2"):
        step.check(step.Params(), {"model_type": "t5"})
    assert step.check(step.Params(), {"model_type": "bert"}) == {"model_type": "bert"}


# --- learning


def trained(model: Any, context: Any, name: str, **options: Any) -> Any:
    step = load("step", name)
    return step.apply(model, step.Params(**options), context)


def test_a_model_learns_to_answer_and_a_student_as_it_does(tmp_path: Path) -> None:
    """Last words: the teacher learns them, its student of one decoder block learns from the teacher."""
    model, context = make_tiny_pair_model(tmp_path, "bart", initializer_range=0.1, init_std=0.1, dropout=0.0)
    context.splits = {
        **context.splits,
        "train": make_last_word_rows(1500, seed=1),
        "selection": make_last_word_rows(100, seed=3),
    }
    teacher = trained(model, context, "fine_tune", epochs=8, learning_rate=2e-3, precision="float32")
    gate = make_last_word_rows(200, seed=9)
    outcomes = compute_outcomes(EagerPredictor(teacher.network, "cpu"), teacher.tokenizer, gate)
    assert outcomes.column("exact_match").mean() > 0.9
    assert outcomes.column("truncated").mean() < 0.05
    saved = save_and_load(teacher, tmp_path / "teacher")
    step = load("step", "keep_layers")
    params = step.Params({"encoder": [0], "decoder": [1]})
    student = step.resolve(params).apply(save_and_load(teacher, tmp_path / "copy"), params, context)
    before = compute_outcomes(EagerPredictor(student.network, "cpu"), student.tokenizer, gate)
    context.load_teacher = lambda: saved
    student = trained(
        student, context, "distill", epochs=4, learning_rate=2e-3, alpha=0.5, precision="float32"
    )
    after = compute_outcomes(EagerPredictor(student.network, "cpu"), student.tokenizer, gate)
    assert context.log["teacher_logits"].startswith("computed once")
    assert after.column("exact_match").mean() > max(0.8, before.column("exact_match").mean())


# --- faults


def test_a_tokenizer_that_pads_on_the_left_is_named(tmp_path: Path) -> None:
    model, context = make_tiny_pair_model(tmp_path, "bart")
    rows, compared = context.rows("calibration"), []
    for side in ("right", "left"):
        model.tokenizer.save_pretrained(tmp_path / side)
        config = tmp_path / side / "tokenizer_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "padding_side": side}))
        encoded = task.task.row_encoder(PARAMS, tmp_path / side)(rows)
        predictor = EagerPredictor(model.network, "cpu")
        answers = compute_outcomes(predictor, model.tokenizer, rows)
        outcomes = task.task.score_pair(PARAMS, answers, answers)
        compared.append(ComparedModel(predictor, encoded, tmp_path / side, "cpu", outcomes))
    (fault,) = find_faults(*compared, make_sampling_params(PARAMS))
    assert fault.startswith("its tokenizer pads on the left, the teacher's on the right")
    assert "slimgate itself always pads on the right" in fault
    assert find_faults(compared[0], compared[0], make_sampling_params(PARAMS)) == []
