"""The task text_generation: prompts, what is learnt, outcomes, and faults in how a model is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.tiny import write_tiny_bert
from slimgate.errors import DataError
from slimgate.models.divergence import count_common_prefix
from slimgate.models.write_answers import Written
from slimgate.outcomes import RIGHT, SAME_ANSWERS, Outcomes
from slimgate.plugins.models import ComparedModel
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.eager import EagerPredictor
from slimgate.tasks import text_generation as task
from slimgate.tasks.parts.answer_figures import compute_similarities, find_faults, make_answer_figures
from slimgate.tasks.parts.endpoint_prompts import EndpointPrompts
from slimgate.tasks.parts.generation import make_sampling_params
from slimgate.tasks.parts.objectives import NO_ANSWER
from slimgate.tasks.parts.prompts import is_loop

PARAMS = task.Params(prompt="text", reference="label", max_new_tokens=6)
TEMPLATE = "{% for one in messages %}{{ one['content'] }} {% endfor %}is"
PLAN = AnswerPlan(batch_size=4)


def rows_of(prompts: list[Any], answers: list[Any] | None = None) -> Rows:
    columns = {"id": [f"r{k}" for k in range(len(prompts))], "text": prompts}
    return Rows(pa.table(columns | ({} if answers is None else {"label": answers})))


ROWS = rows_of(
    ["good film", "the plot was very bad", "a", "nice actor is not"], ["film", "plot", "a", "nice"]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    return write_tiny(path, "llama", causal=True, initializer_range=0.5)


@pytest.fixture
def model(folder: Path, tmp_path: Path) -> Any:
    return load_tiny(folder, make_tiny_context(tmp_path, task=task.task, params=PARAMS))


def answered(
    model: Any, rows: Rows, folder: Path, params: task.Params = PARAMS, plan: AnswerPlan = PLAN
) -> Outcomes:
    encoded = task.task.row_encoder(params, folder)(rows)
    scores = task.task.answer(params, EagerPredictor(model.network, "cpu"), encoded, plan)
    return task.task.outcomes(TaskFacts(()), rows, scores, params, None)


def compared(model: Any, rows: Rows, folder: Path, params: task.Params = PARAMS) -> ComparedModel:
    encoded = task.task.row_encoder(params, folder)(rows)
    outcomes = answered(model, rows, folder, params)
    outcomes = task.task.score_pair(params, outcomes, outcomes)
    return ComparedModel(EagerPredictor(model.network, "cpu"), encoded, folder, "cpu", outcomes)


# --- what is asked, and what is learnt


def test_a_model_learns_answer_and_end_but_not_the_prompt(model: Any) -> None:
    windows = task.task.encode_rows(PARAMS, ROWS, model.tokenizer)
    targets = task.task.targets(PARAMS, ROWS, TaskFacts(()), windows)
    end = model.tokenizer.eos_token_id
    for place, (prompt, answer) in enumerate(
        zip(ROWS.table["text"].to_pylist(), ROWS.table["label"].to_pylist(), strict=True)
    ):
        ids, answer_ids = (
            model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, answer)
        )
        assert list(windows.columns["input_ids"][place]) == [*ids, *answer_ids, end]
        assert targets.rows[place] == [NO_ANSWER] * len(ids) + [*answer_ids, end]


def test_a_row_without_a_reference_is_text_to_learn_from(model: Any) -> None:
    windows = task.task.encode_rows(replace_reference(None), rows_of(["good film"]), model.tokenizer)
    assert windows.context.tolist() == [1]
    assert len(windows.columns["input_ids"][0]) == 2


def replace_reference(reference: str | None) -> task.Params:
    return PARAMS.model_copy(update={"reference": reference, "scores": None})


def test_prompts_are_padded_on_the_left(folder: Path) -> None:
    batch = task.task.row_encoder(PARAMS, folder)(ROWS).batch([0, 1])
    assert batch["attention_mask"][0].tolist() == [0, 0, 0, 1, 1]


def test_messages_and_chat_go_through_the_template(model: Any, tmp_path: Path) -> None:
    model.tokenizer.chat_template = TEMPLATE
    model.tokenizer.save_pretrained(tmp_path)
    messages = [[{"role": "user", "content": "good"}, {"role": "assistant", "content": "film"}]]
    of_messages = task.task.row_encoder(PARAMS, tmp_path)(rows_of(messages))
    assert list(of_messages.texts) == ["good film is"]
    chat = PARAMS.model_copy(update={"chat": True})
    assert list(task.task.row_encoder(chat, tmp_path)(rows_of(["nice"])).texts) == ["nice is"]


def test_messages_without_a_template_are_refused_in_one_line(folder: Path) -> None:
    rows = rows_of([[{"role": "user", "content": "good"}]])
    with pytest.raises(DataError, match="has no chat template; give prompts as text"):
        task.task.row_encoder(PARAMS, folder)(rows)


def test_a_template_that_refuses_a_row_says_so(model: Any, tmp_path: Path) -> None:
    model.tokenizer.chat_template = "{{ raise_exception('only users speak') }}"
    model.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="the chat template refuses a row: TemplateError: only users speak"):
        task.task.row_encoder(PARAMS.model_copy(update={"chat": True}), tmp_path)(ROWS)


@pytest.mark.parametrize("split", ["gate", "confirm"])
@pytest.mark.parametrize("missing", [" ", None], ids=["blank", "null"])
def test_rows_that_judge_need_references(split: str, missing: str | None) -> None:
    complete, partly = rows_of(["c", "d"], ["x", "y"]), rows_of(["a", "b"], ["x", missing])
    with pytest.raises(DataError, match=f'{split} row r1 has no reference in column "label"'):
        task.task.facts(PARAMS, {"gate": complete, "confirm": complete, split: partly})


def test_a_reference_that_is_nan_is_missing() -> None:
    with pytest.raises(DataError, match='gate row r1 has no reference in column "label"'):
        task.task.facts(PARAMS, {"gate": rows_of(["a", "b"], [4.0, float("nan")])})


@pytest.mark.parametrize(
    ("references", "refused"),
    [(["7", "seven"], None), (["seven", "7"], None), (["seven", "VII"], "'seven' was given")],
    ids=["a number first", "a word first", "no number"],
)
def test_one_reference_that_a_score_can_read_is_enough(references: list[str], refused: str | None) -> None:
    params = task.Params(prompt="text", reference="label", scores=("numeric",))
    rows = rows_of(["a", "b"], [["1"], references])
    if refused is None:
        assert task.task.facts(params, {"gate": rows}).classes == ()
        return
    with pytest.raises(DataError, match=f'gate row r1, column "label": {refused}'):
        task.task.facts(params, {"gate": rows})


# --- options


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"repeats": 3}, "repeats = 3 was given without a temperature"),
        ({"scores": ("exact_matsh",), "reference": "b"}, r"Did you mean exact_match\?"),
        ({"scores": ("numeric",)}, "score numeric compares with a reference; set reference to the column"),
        ({"scores": ({"numeric": {"tolerance": -1.0}},), "reference": "b"}, "greater than or equal to 0"),
        ({"stop": ("",)}, 'stop contains ""'),
    ],
)
def test_impossible_options_are_refused_early(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        task.Params(prompt="a", **options)


def test_scores_are_metrics_of_their_names() -> None:
    params = task.Params(prompt="a", reference="b", scores=("numeric", {"regex": {"pattern": "x"}}))
    assert task.task.default_metrics_with(params) == (
        "numeric",
        "regex",
        SAME_ANSWERS,
        "truncated",
        "empty",
        "looping",
    )
    assert {"numeric", "regex", RIGHT, SAME_ANSWERS} <= task.task.provides_with(params)
    alone = task.Params(prompt="a")
    assert RIGHT not in task.task.provides_with(alone)
    assert task.task.default_metrics_with(alone)[0] == SAME_ANSWERS


# --- outcomes


def scored(params: task.Params, rows: Rows, *answers: list[Written]) -> Outcomes:
    array = np.empty((len(answers), len(answers[0])), dtype=np.object_)
    for row, written in enumerate(answers):
        array[row] = written
    return task.task.outcomes(TaskFacts(()), rows, array, params, None)


def write(text: str, *, ended: bool = True, ids: tuple[int, ...] = (1, 2)) -> Written:
    return Written(text, ids, ended)


def test_outcomes_by_hand() -> None:
    rows = rows_of(["p"] * 4, [["yes", "yeah"], ["no"], ["no"], ["x"]])
    outcomes = scored(
        PARAMS,
        rows,
        [write("yeah ")],
        [write("yes")],
        [write(" \u200b", ended=False)],
        [write("z", ids=(7,) * 9)],
    )
    assert outcomes.column("exact_match").tolist() == [1, 0, 0, 0]
    assert outcomes.right is not None
    assert outcomes.right.tolist() == [1, 0, 0, 0]
    assert outcomes.column("truncated").tolist() == [0, 0, 1, 0]
    assert outcomes.column("empty").tolist() == [0, 0, 1, 0]
    assert outcomes.column("looping").tolist() == [0, 0, 0, 1]
    assert outcomes.answers is not None
    assert outcomes.answers.tolist() == ["yeah ", "yes", " \u200b", "z"]


def test_a_row_of_several_answers_has_their_mean() -> None:
    params = task.Params(prompt="text", reference="label", temperature=1.0, repeats=4)
    rows = rows_of(["p"], ["yes"])
    outcomes = scored(params, rows, [write("yes"), write("no"), write("yes", ended=False), write("")])
    assert outcomes.column("exact_match").tolist() == [0.5]
    assert outcomes.column("truncated").tolist() == [0.25]
    other = scored(params, rows, [write("yes"), write("yes"), write("yes"), write("")])
    assert task.task.score_pair(PARAMS, outcomes, other).column(SAME_ANSWERS).tolist() == [0.75]


def test_an_encoder_says_how_alike_answers_are(tmp_path: Path) -> None:
    encoder = write_tiny_bert(tmp_path / "encoder")
    params = task.Params(prompt="text", encoder=str(encoder), temperature=1.0, repeats=2)
    assert "similar_answers" in params_metrics(params)
    assert "similar_answers" not in params_metrics(PARAMS)
    rows = rows_of(["p"])
    outcomes = scored(params, rows, [write("good film"), write("bad")])
    other = scored(params, rows, [write("good film"), write("very nice plot")])
    same = task.task.score_pair(params, outcomes, outcomes)
    assert same.column("similar_answers").tolist() == [1]
    half = task.task.score_pair(params, outcomes, other).column("similar_answers")[0]
    assert half == pytest.approx((1 + compute_similarities(encoder, ["bad"], ["very nice plot"])[0]) / 2)
    assert not same.changed_rows(task.task.score_pair(params, outcomes, other)).any()


def params_metrics(params: task.Params) -> frozenset[str]:
    """What a suite may put a budget on, and what is measured."""
    assert set(task.task.default_metrics_with(params)) <= task.task.provides_with(params)
    return task.task.provides_with(params)


@pytest.mark.parametrize("encoder", ["missing", "some/model@main", "fresh:missing"])
def test_an_encoder_must_be_a_folder_with_weights(encoder: str) -> None:
    with pytest.raises(ValidationError, match="encoder"):
        task.Params(prompt="text", encoder=encoder)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ((5,) * 8, True),
        ((5,) * 7, False),  # too short to say
        ((1, 2, 3) * 3, True),
        ((9, 8, 7, *(1, 2, 3, 4) * 3), True),
        ((1, 2, 3, 4) * 2, False),
        ((*(1, 2) * 4, 9), False),  # it came out of it
        (tuple(range(30)), False),
        ((), False),
    ],
)
def test_a_loop_is_the_same_end_three_times(ids: tuple[int, ...], expected: bool) -> None:
    assert is_loop(Written("", ids, False)) is expected


def test_common_prefix_by_hand() -> None:
    assert [count_common_prefix("abcd", other) for other in ("abxd", "abcd", "ab", "")] == [2, 4, 2, 0]


def test_a_planted_fault_makes_every_metric_worse(model: Any, folder: Path) -> None:
    outcomes = task.task.score_pair(PARAMS, *(answered(model, ROWS, folder),) * 2)
    wrong = task.task.with_planted_fault(outcomes, np.array([0, 1]))
    assert wrong.column(SAME_ANSWERS).tolist() == [0, 0, 1, 1]
    assert wrong.column("truncated").tolist()[:2] == [1, 1]
    assert wrong.column("exact_match").tolist()[:2] == [0, 0]


def test_a_failed_or_faulty_answer_has_the_worst_score() -> None:
    """A refusal counts against a model. A server that did not answer once counted as one without refusals."""
    params = task.Params(prompt="text", reference="label", scores=("exact_match", "refused"))
    answers = [Written("film", (), True), Written("", (), True, failed=True)]
    scores = np.array([[answer] for answer in answers], dtype=object)
    rows = rows_of(["a", "b"], ["film", "film"])
    outcomes = task.task.outcomes(TaskFacts(()), rows, scores, params, None)
    assert outcomes.column("exact_match").tolist() == [1, 0]
    assert outcomes.column("refused").tolist() == [0, 1]
    faulty = task.task.with_planted_fault(outcomes, np.array([0]))
    assert (faulty.column("exact_match")[0], faulty.column("refused")[0]) == (0, 1)


def test_answers_do_not_depend_on_batch_or_order(model: Any, folder: Path) -> None:
    outcomes = answered(model, ROWS, folder)
    for plan in (AnswerPlan(1), AnswerPlan(2, order=np.array([3, 0, 2, 1])), AnswerPlan(4, batch_tokens=6)):
        assert not answered(model, ROWS, folder, plan=plan).changed_rows(outcomes).any()


# --- what two models' answers have in common, and faults


def test_a_model_beside_itself_has_everything_in_common(model: Any, folder: Path) -> None:
    base = compared(model, ROWS, folder)
    figures = make_answer_figures(base, base)
    assert (figures["changed_answers"]["teacher"], figures["changed_answers"]["variant"]) == (0, 0)
    assert figures["common_prefix"]["variant"] == 100
    assert figures["first_divergent_token"]["variant"] is None
    assert find_faults(base, base, make_sampling_params(PARAMS)) == []


def test_failed_requests_of_both_are_named(model: Any, folder: Path) -> None:
    base = compared(model, ROWS, folder)
    assert base.outcomes is not None
    pair = [
        replace(
            base,
            encoded=EndpointPrompts(["a"] * 4, ["r0", "r1", "r2", "r3"]),
            outcomes=replace(base.outcomes, values={**base.outcomes.values, "failed": np.asarray(failed)}),
        )
        for failed in ([0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0])
    ]
    assert find_faults(*pair, make_sampling_params(PARAMS)) == [
        "50.0 % of its requests failed, so these rows have no answer",
        "25.0 % of the teacher's requests failed and count as wrong, so drops look smaller",
    ]
    assert find_faults(base, replace(pair[0], outcomes=base.outcomes), make_sampling_params(PARAMS)) == []


def test_the_first_divergent_token_by_hand(model: Any, folder: Path) -> None:
    base = compared(model, ROWS, folder)
    assert base.outcomes is not None
    texts = [
        np.asarray(answers)
        for answers in (["good film the plot", "a", "is", ""], ["good film a plot", "a", "not", ""])
    ]
    teacher, variant = (replace(base, outcomes=replace(base.outcomes, answers=answers)) for answers in texts)
    figures = make_answer_figures(teacher, variant)
    assert figures["common_prefix"]["variant"] == pytest.approx(100 * (0.5 + 1 + 0 + 1) / 4)
    assert figures["first_divergent_token"]["variant"] == 2  # the third, and the first


def test_another_chat_template_is_named(model: Any, tmp_path: Path) -> None:
    chat = PARAMS.model_copy(update={"chat": True})
    pair = []
    for name, template in (("a", TEMPLATE), ("b", TEMPLATE.replace("}is", "}was"))):
        model.tokenizer.chat_template = template
        model.tokenizer.save_pretrained(tmp_path / name)
        pair.append(compared(model, ROWS, tmp_path / name, chat))
    (fault,) = find_faults(*pair, make_sampling_params(chat))
    assert fault.startswith("its chat template makes other prompts than the teacher's, of 4 of 4 rows")
    assert "'good film is'" in fault
    assert "'good film was'" in fault


def test_another_padding_side_is_named(model: Any, tmp_path: Path) -> None:
    pair = []
    for side in ("left", "right"):
        model.tokenizer.save_pretrained(tmp_path / side)
        config = tmp_path / side / "tokenizer_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "padding_side": side}))
        pair.append(compared(model, ROWS, tmp_path / side))
    (fault,) = find_faults(*pair, make_sampling_params(PARAMS))
    assert fault.startswith("its tokenizer pads on the right, the teacher's on the left")


def test_a_model_that_reads_the_padding_is_named(model: Any, folder: Path) -> None:
    """As one whose export dropped the attention mask, or that was run with padding on the wrong side."""
    rows = rows_of(
        ["good", "bad", "nice", "plot", "the plot was very good and a bad actor is great"], ["x"] * 5
    )
    teacher, forward = compared(model, rows, folder), model.network.forward

    def blind(*args: Any, **more: Any) -> Any:
        return forward(*args, **{**more, "attention_mask": None, "position_ids": None})

    model.network.forward = blind
    variant = compared(model, rows, folder)
    (fault,) = find_faults(teacher, variant, make_sampling_params(PARAMS))
    assert "answers change when a prompt is alone in its batch: the model reads the padding" in fault
