"""The task multiple_choice: prompts, scores of choices, outcomes, and what models learn."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.tiny import BAD, GOOD, OTHER
from slimgate.errors import DataError, SuiteError
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.models.predict import predict_scores
from slimgate.outcomes import ClassOutcomes
from slimgate.plugins.models import ComparedModel, ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.run.graph_loading import check_graph
from slimgate.run.planted_fault import judge_exchanged_answers
from slimgate.run.selftest import make_default_budget
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.convert import to_onnx
from slimgate.steps.finetune import distill, fine_tune
from slimgate.steps.quantize import gptq
from slimgate.tasks import multiple_choice as task
from slimgate.tasks import text_classification
from slimgate.tasks.parts.choice_scores import tokenize_pairs
from slimgate.tasks.parts.objectives import NO_ANSWER, UNLABELLED

WORDS = (*GOOD, *BAD, *OTHER)
PARAMS = task.Params(context="question", choices="choices", answer="answer", max_tokens=32)
LETTERS = task.Params(context="question", choices="choices", answer="answer", letters=True, max_tokens=32)


def rows_of(*rows: tuple[str, Sequence[str], Any]) -> Rows:
    table = [
        {"id": f"q{i}", "question": question, "choices": list(choices), "answer": answer}
        for i, (question, choices, answer) in enumerate(rows)
    ]
    return Rows(pa.Table.from_pylist(table))


def random_rows(count: int, *, seed: int = 0) -> Rows:
    """Questions of 3 to 12 words, with 2 to 4 choices of 1 to 3 words."""
    generator = random.Random(seed)

    def text(low: int, high: int) -> str:
        return " ".join(generator.choice(WORDS) for _ in range(generator.randint(low, high)))

    rows = []
    for _ in range(count):
        choices = list(dict.fromkeys(text(1, 3) for _ in range(generator.randint(3, 5))))[:4]
        choices = choices if len(choices) > 1 else ["good", "bad film"]
        rows.append((text(3, 12), choices, generator.randrange(len(choices))))
    return rows_of(*rows)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    layers = {"n_layer" if request.param == "gpt2" else "num_hidden_layers": 2}
    return write_tiny(path, request.param, causal=True, initializer_range=0.5, **layers)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("llama"), "llama", causal=True, initializer_range=0.5)


def context_of(scratch: Path, params: task.Params = PARAMS) -> Any:
    context = make_tiny_context(scratch)
    splits = {
        "train": random_rows(24, seed=1),
        "calibration": random_rows(16, seed=2),
        "selection": random_rows(8, seed=3),
    }
    return replace(
        context, task=task.task, task_params=params, facts=TaskFacts(("A", "B", "C", "D")), splits=splits
    )


@pytest.fixture
def model(folder: Path, tmp_path: Path) -> Any:
    return load_tiny(folder, context_of(tmp_path))


def raw_scores(predictor: Any, tokenizer: Any, rows: Rows, params: Any, batch_size: int) -> Any:
    encoded = task.encode_questions(params, rows, tokenizer)
    return predict_scores(
        predictor,
        encoded,
        batch_size=batch_size,
        read=lambda output, batch: task.task.read_output(params, output, batch),
    )


def judged(model: Any, rows: Rows, params: Any = PARAMS, *, batch_size: int = 3) -> ClassOutcomes:
    facts = task.task.facts(params, {"gate": rows})
    scores = raw_scores(EagerPredictor(model.network, "cpu"), model.tokenizer, rows, params, batch_size)
    return task.task.outcomes(facts, rows, scores, params, None)


def likelihood(model: Any, prompt: str, answer: str) -> float:
    """The log-likelihood of the words that an answer adds, one forward pass for each text."""
    ids = model.tokenizer(prompt + answer, return_tensors="pt")["input_ids"]
    begun = len(model.tokenizer(prompt)["input_ids"])
    with torch.no_grad():
        chances = model.network(input_ids=ids).logits[0].double().log_softmax(-1)
    return float(sum(chances[place - 1, ids[0, place]] for place in range(begun, ids.shape[1])))


def test_scores_are_the_log_likelihoods_of_the_choices(model: Any) -> None:
    rows = random_rows(7)
    scores = raw_scores(EagerPredictor(model.network, "cpu"), model.tokenizer, rows, PARAMS, 3)
    for row, (question, choices) in enumerate(
        zip(rows.table["question"].to_pylist(), rows.table["choices"].to_pylist(), strict=True)
    ):
        expected = [likelihood(model, question, f" {choice}") for choice in choices]
        assert scores[row, : len(choices), 0] == pytest.approx(expected, rel=1e-4)
        assert scores[row, : len(choices), 1].tolist() == [len(choice.split()) for choice in choices]


@pytest.mark.parametrize("right", [0, 1, 3], ids=["first", "second", "last"])
def test_equal_scores_are_wrong_wherever_the_right_choice_is(right: int) -> None:
    """TruthfulQA has the right choice first in every row: a model without an opinion must not find it."""
    rows = rows_of(*[(f"good film {row}", ("bad", "good", "dull", "fine"), right) for row in range(5)])
    scores = np.full((5, 4, 2), 2.0)
    scores[..., 0] = -7.0
    scores[4, right, 0] = -6.9
    outcomes = task.task.outcomes(task.task.facts(PARAMS, {"gate": rows}), rows, scores, PARAMS, None)
    assert (outcomes.predictions == right).tolist() == [False] * 4 + [True]
    for name in ("acc", "acc_norm_tokens"):
        assert compute_value(load_metric(name), outcomes) == 0.2


def test_predictions_and_probabilities_follow_the_likelihoods(model: Any) -> None:
    rows = rows_of(("good film", ("nice", "bad plot", "the actor was fun"), 1))
    logs = [likelihood(model, "good film", f" {c}") for c in ("nice", "bad plot", "the actor was fun")]
    outcomes = judged(model, rows)
    total = sum(math.exp(log) for log in logs)
    assert outcomes.probabilities is not None
    assert outcomes.probabilities[0] == pytest.approx([math.exp(log) / total for log in logs], rel=1e-4)
    assert outcomes.predictions[0] == int(np.argmax(logs))
    by_bytes = [log / size for log, size in zip(logs, (4, 8, 17), strict=True)]
    by_tokens = [log / size for log, size in zip(logs, (1, 2, 4), strict=True)]
    assert outcomes.column("acc_norm")[0] == (int(np.argmax(by_bytes)) == 1)
    assert outcomes.column("acc_norm_tokens")[0] == (int(np.argmax(by_tokens)) == 1)
    normal = judged(model, rows, PARAMS.model_copy(update={"normalize": "bytes"}))
    assert normal.predictions[0] == int(np.argmax(by_bytes))


def test_a_rows_scores_do_not_depend_on_its_batch(model: Any) -> None:
    rows, predictor = random_rows(9), EagerPredictor(model.network, "cpu")
    alone, together = (raw_scores(predictor, model.tokenizer, rows, PARAMS, size) for size in (1, 16))
    assert alone == pytest.approx(together, rel=1e-5)


def test_choices_that_a_row_does_not_have_get_no_probability(model: Any) -> None:
    outcomes = judged(
        model, rows_of(("good", ("bad", "nice"), 0), ("film", ("bad", "nice", "fun", "plot"), 3))
    )
    assert outcomes.classes == ("A", "B", "C", "D")
    assert outcomes.probabilities is not None
    assert outcomes.probabilities[0, 2:].tolist() == [0.0, 0.0]
    assert outcomes.probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_metrics_of_classes_and_of_choices_read_the_outcomes(model: Any) -> None:
    outcomes = judged(model, random_rows(40))
    values = {
        name: compute_value(load_metric(name), outcomes)
        for name in ("accuracy", "acc", "acc_norm", "acc_norm_tokens", "ece", "log_loss", "brier")
    }
    assert values["accuracy"] == values["acc"] == float((outcomes.predictions == outcomes.labels).mean())
    assert values["acc_norm"] == float(outcomes.column("acc_norm").mean())
    assert all(values[name] >= 0 for name in values)


def test_letters_share_one_input_a_question(model: Any) -> None:
    rows = rows_of(("good film", ("nice", "bad plot", "fun"), "C"))
    prompt = task.read_questions(rows, LETTERS.columns)[0].format_prompt(LETTERS.form)
    assert prompt == "good film\nA. nice\nB. bad plot\nC. fun\nAnswer:"
    encoded = task.encode_questions(LETTERS, rows, model.tokenizer)
    assert encoded.batch([0])["input_ids"].tolist() == [model.tokenizer(prompt)["input_ids"]]
    assert judged(model, rows, LETTERS).labels.tolist() == [2]


def test_long_prompts_are_cut_on_the_left_and_counted(model: Any) -> None:
    short = PARAMS.model_copy(update={"max_tokens": 4})
    rows = rows_of((" ".join(WORDS), ("good film", "bad"), 0), ("the plot", ("good", "bad"), 1))
    encoded = task.encode_questions(short, rows, model.tokenizer)
    words = model.tokenizer(" ".join(WORDS))["input_ids"]
    good = model.tokenizer("good")["input_ids"]
    assert encoded.questions[0].inputs == [[*words[-3:], *good], words[-4:]]
    assert encoded.cut.tolist() == [len(words) + 1 - 4, 0]
    learnt = task.task.encode_rows(short, rows, model.tokenizer)
    assert learnt.columns["input_ids"][0] == [*words[-2:], *model.tokenizer("good film")["input_ids"]]
    compared = ComparedModel(None, encoded, Path(), "cpu")  # type: ignore[arg-type]
    figures = task.task.compare(short, compared, compared)["figures"]["cut_prompts"]
    assert (figures["teacher"], figures["variant"]) == (1, 1)


def test_a_choice_of_more_than_max_tokens_is_named(model: Any) -> None:
    rows = rows_of(("good", ("bad", "the film is very good"), 0))
    with pytest.raises(DataError, match="row q0: a choice has 5 tokens, and max_tokens is 3"):
        task.encode_questions(PARAMS.model_copy(update={"max_tokens": 3}), rows, model.tokenizer)


def test_an_empty_prompt_begins_with_the_start_token(model: Any) -> None:
    [(prompt, answer)] = tokenize_pairs(model.tokenizer, [""], ["good film"])
    assert prompt == [model.tokenizer.bos_token_id]
    assert answer == model.tokenizer("good film")["input_ids"]


def test_blanks_at_the_end_of_a_prompt_belong_to_the_choice(model: Any) -> None:
    assert tokenize_pairs(model.tokenizer, ["good  "], ["film"]) == tokenize_pairs(
        model.tokenizer, ["good"], ["  film"]
    )


def test_an_answer_without_tokens_is_an_error(model: Any) -> None:
    with pytest.raises(DataError, match="adds no token to the prompt 'good'"):
        tokenize_pairs(model.tokenizer, ["good"], [" "])


def test_models_learn_the_tokens_of_right_answers_alone(model: Any) -> None:
    rows = rows_of(("the film is", ("good", "very bad"), 1))
    encoded = task.task.encode_rows(PARAMS, rows, model.tokenizer)
    ids = model.tokenizer("very bad")["input_ids"]
    facts = TaskFacts(("A", "B"))
    assert task.task.targets(PARAMS, rows, facts, encoded)[[0]].tolist() == [[NO_ANSWER] * 3 + ids]
    hidden = task.task.targets_without_labels(PARAMS, encoded, facts)[[0]].tolist()
    assert hidden == [[NO_ANSWER] * 3 + [UNLABELLED] * 2]


def test_training_makes_the_right_choices_likelier(llama: Path, tmp_path: Path) -> None:
    context = context_of(tmp_path)
    before = load_tiny(llama, context)
    losses = compute_value(load_metric("log_loss"), judged(before, context.splits["train"]))
    params = fine_tune.Params(epochs=4, learning_rate=5e-3, batch_size=8)
    after = fine_tune.step.apply(load_tiny(llama, context), params, context)
    assert compute_value(load_metric("log_loss"), judged(after, context.splits["train"])) < 0.8 * losses


def test_a_student_learns_its_teachers_scores(llama: Path, tmp_path: Path) -> None:
    context = context_of(tmp_path)
    teacher = load_tiny(llama, context)
    context = replace(context, load_teacher=lambda: teacher)
    other = write_tiny(tmp_path / "student", "llama", causal=True, seed=5, initializer_range=0.5)
    student = load_tiny(other, context)
    rows = context.splits["train"]
    right = (np.arange(len(rows)), [question.right for question in task.read_questions(rows, PARAMS.columns)])

    def of_right_answers(model: Any) -> Any:
        scores = raw_scores(EagerPredictor(model.network, "cpu"), model.tokenizer, rows, PARAMS, 8)
        return scores[..., 0][right]

    expected, before = of_right_answers(teacher), of_right_answers(student)
    params = distill.Params(alpha=0.0, epochs=12, learning_rate=5e-3, batch_size=8)
    after = of_right_answers(distill.step.apply(student, params, context))
    assert np.abs(after - expected).mean() < 0.7 * np.abs(before - expected).mean()


def test_steps_that_read_calibration_rows_read_prompts(llama: Path, tmp_path: Path) -> None:
    context = context_of(tmp_path)
    model = gptq.step.apply(load_tiny(llama, context), gptq.Params(group_size=16), context)
    plain, packed = (judged(variant, random_rows(20)) for variant in (load_tiny(llama, context), model))
    assert packed.changed_rows(plain).mean() < 0.5
    assert not np.array_equal(packed.probabilities, plain.probabilities)


def test_a_graph_answers_as_its_network(llama: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from slimgate.steps.agreement import make_default_predictor

    context = context_of(tmp_path)
    rows, model = random_rows(12), load_tiny(llama, context)
    graph = to_onnx.step.apply(model, to_onnx.Params(), context)
    scores = raw_scores(make_default_predictor(graph, context), model.tokenizer, rows, PARAMS, 4)
    expected = raw_scores(EagerPredictor(model.network, "cpu"), model.tokenizer, rows, PARAMS, 4)
    assert scores == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("metric", ["accuracy", "acc", "acc_norm"])
def test_a_planted_fault_is_seen_by_every_metric(llama: Path, tmp_path: Path, metric: str) -> None:
    outcomes = judged(load_tiny(llama, context_of(tmp_path)), random_rows(60))
    # answers as a good model gives them, so that there is something to lose
    right = replace(
        outcomes,
        predictions=outcomes.labels,
        values={name: np.ones(len(outcomes)) for name in outcomes.values},
    )
    fault = judge_exchanged_answers(
        right,
        metric,
        make_default_budget(load_metric(metric)),
        seed=0,
        damage_rows=task.task.with_planted_fault,
    )
    assert fault.drop_points is not None
    assert fault.drop_points >= 4.0
    assert not fault.wrong


def test_outcomes_go_through_a_file(model: Any, tmp_path: Path) -> None:
    outcomes = judged(model, random_rows(6))
    write_outcomes(outcomes, tmp_path / "o.parquet")
    again = read_outcomes(tmp_path / "o.parquet")
    assert isinstance(again, ClassOutcomes)
    assert again.classes == outcomes.classes
    assert again.column("acc_norm").tolist() == outcomes.column("acc_norm").tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choices": ("a",)}, "a list of one column was given"),
        ({"template": "Q:"}, r'"Q:" was given, expected \{context\} once'),
        ({"template": "{context} {choices}"}, r"expected no \{choices\}, which needs letters = true"),
        ({"template": "{context}", "letters": True}, r"expected \{choices\} once"),
        ({"normalize": "words"}, "'none', 'bytes' or 'tokens'"),
    ],
)
def test_bad_options_are_one_clear_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        task.Params.model_validate({"context": "q", "choices": "c", "answer": "a", **options})


def test_more_choices_than_letters_are_refused_with_letters() -> None:
    rows = rows_of(("good", [str(number) + "x" for number in range(27)], 0))
    assert task.task.facts(PARAMS, {"gate": rows}).classes[-1] == "27"
    with pytest.raises(DataError, match="27 choices, but there are only 26 letters; set letters = false"):
        task.task.facts(LETTERS, {"gate": rows})


def test_a_bad_row_of_any_split_is_named_before_a_model_loads() -> None:
    good, bad = rows_of(("good", ("a", "b"), 0)), rows_of(("good", ("a", "b"), 2))
    with pytest.raises(DataError, match="row q0: answer 2 names none of the 2 choices"):
        task.task.facts(PARAMS, {"train": bad, "gate": good})


def test_a_graph_of_a_language_model_needs_no_labels() -> None:
    """Classes are read off its tokens: its config.json names none, or two that mean nothing."""
    ref, facts = ModelRef("llama.gguf", None), TaskFacts(("A", "B", "C"))
    check_graph(ref, {"model_type": "llama"}, task.task, PARAMS, facts)
    with pytest.raises(SuiteError, match=r"llama\.gguf: the model's labels do not fit the data's"):
        check_graph(ref, {"model_type": "llama"}, text_classification.task, None, facts)
