"""The step sequence_distill: a student learns the answers that its teacher writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.tiny_decoders import (
    WITH_REFERENCE,
    WITHOUT_REFERENCE,
)

from fixtures.models.architectures import write_tiny
from fixtures.models.building import NEXT_TOKEN, load_tiny, make_tiny_context
from slimgate.errors import BuildError
from slimgate.models.write_answers import Written
from slimgate.plugins.rows import Rows
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.finetune import distill, fine_tune, sequence_distill
from slimgate.steps.training.params import Generate
from slimgate.steps.training.written_answers import COLUMN, generate_answers, learn_from_written_answers
from slimgate.tasks import causal_lm, text_generation
from slimgate.tasks.parts.objectives import NO_ANSWER, encode_labelled_rows, encode_training_rows


@pytest.fixture
def teacher(context: Any) -> Any:
    return context.load_teacher()


def write_by_hand(monkeypatch: pytest.MonkeyPatch, *answers: Written) -> None:
    """These, over and over, in place of the answers of a teacher: cut and empty ones do not come at will."""

    def repeat_answers(_teacher: Any, rows: Rows, _context: Any) -> list[Written]:
        return [answers[place % len(answers)] for place in range(len(rows))]

    monkeypatch.setattr("slimgate.steps.training.written_answers.generate_answers", repeat_answers)


def write(text: str, *, ended: bool = True) -> Written:
    return Written(text, (), ended)


# --- the teacher's answers


def test_the_teacher_answers_as_it_does_when_it_is_judged(
    teacher: Any, context: Any, folders: dict[str, Path]
) -> None:
    rows = context.rows("selection")
    prompts = text_generation.task.row_encoder(WITH_REFERENCE, folders["teacher"])(rows)
    judged = text_generation.task.answer(
        WITH_REFERENCE, EagerPredictor(teacher.network, "cpu"), prompts, AnswerPlan(1)
    )
    assert generate_answers(teacher, rows, context) == list(judged[:, 0])


def test_a_sampled_task_is_taught_by_greedy_answers(teacher: Any, context: Any) -> None:
    greedy = generate_answers(teacher, context.rows("selection"), context)
    context.task_params = text_generation.Params(
        prompt="text", reference="label", max_new_tokens=6, temperature=2.0, repeats=3
    )
    assert generate_answers(teacher, context.rows("selection"), context) == greedy


def test_answers_are_written_once_for_all_students(teacher: Any, context: Any, tmp_path: Path) -> None:
    folders: dict[str, Path] = {}

    def share(kind: str, key: Any, fill: Any) -> tuple[Path, bool]:
        if existing := folders.get(str(key)):
            return existing, True
        folder = tmp_path / f"{kind}-{len(folders)}"
        folder.mkdir()
        fill(folder)
        return folders.setdefault(str(key), folder), False

    context.share = share
    first = generate_answers(teacher, context.rows("train"), context)
    teacher.network = None  # it answers no more
    assert generate_answers(teacher, context.rows("train"), context) == first
    assert len(folders) == 1


@pytest.mark.parametrize(
    "params", [WITH_REFERENCE, WITHOUT_REFERENCE], ids=["in place of references", "without references"]
)
def test_answers_are_what_is_learnt_and_prompts_are_not(
    teacher: Any, context: Any, monkeypatch: pytest.MonkeyPatch, params: text_generation.Params
) -> None:
    write_by_hand(monkeypatch, write("good film"))
    context.task_params = params
    new_context = learn_from_written_answers(teacher, context)
    assert new_context.task_params.reference == (params.reference or COLUMN)
    assert new_context.rows("train").ids == context.rows("train").ids
    prompts = context.rows("train").table["text"].to_pylist()
    answer = teacher.tokenizer("good film", add_special_tokens=False)["input_ids"]
    _, targets = encode_training_rows(teacher, new_context)
    for prompt, labels in zip(prompts, targets.rows, strict=True):  # type: ignore[attr-defined]
        ids = teacher.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert labels == [NO_ANSWER] * len(ids) + [*answer, teacher.tokenizer.eos_token_id]
    chosen_by = encode_labelled_rows(teacher, "selection", new_context)
    assert chosen_by is not None
    assert set(new_context.rows("selection").table[new_context.task_params.reference].to_pylist()) == {
        "good film"
    }


def test_rows_with_a_cut_or_empty_answer_are_skipped_and_counted(
    teacher: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_by_hand(
        monkeypatch, write("film"), write("film film", ended=False), write(" "), write("", ended=False)
    )
    new_context = learn_from_written_answers(teacher, context)
    assert new_context.rows("train").ids == context.rows("train").ids[::4]
    assert context.log["teacher_wrote"]["train"] == {"rows": 12, "dropped_empty": 24, "dropped_cut": 12}


def test_a_teacher_that_ends_no_answer_is_an_error(
    teacher: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_by_hand(monkeypatch, write("film", ended=False))
    with pytest.raises(
        BuildError, match="all 48 rows of train are empty, or cut at max_new_tokens = 6; raise"
    ):
        learn_from_written_answers(teacher, context)


# --- the step


def taught(context: Any, answer: str) -> Any:
    """The teacher after learning one answer to everything."""
    table = context.rows("train").table.drop_columns(["label"])
    rows = Rows(table.append_column("label", pa.array([answer] * len(table))))
    params = fine_tune.Params(epochs=10, learning_rate=1e-2, batch_size=8, precision="float32")
    new_context = replace(context, splits={"train": rows}, log={})
    return fine_tune.step.apply(context.load_teacher(), params, new_context)


@pytest.mark.parametrize(
    ("params", "parts"),
    [({}, {"labels"}), ({"alpha": 0.5}, {"labels", "soft"})],
    ids=["text", "probabilities"],
)
def test_the_student_comes_to_write_what_its_teacher_writes(
    folders: dict[str, Path], context: Any, params: dict[str, Any], parts: set[str]
) -> None:
    teacher = taught(context, "nice plot")
    new_context = replace(context, load_teacher=lambda: teacher, task_params=WITHOUT_REFERENCE)
    student = load_tiny(folders["student"], new_context)
    assert "nice plot" not in answers(student, new_context)
    options = sequence_distill.Params(
        epochs=10, learning_rate=1e-2, batch_size=8, precision="float32", **params
    )
    assert sequence_distill.step.apply(student, options, new_context) is student
    assert answers(student, new_context) == answers(teacher, new_context) == ["nice plot"] * 16
    assert set(new_context.log["loss_parts"]) == parts
    assert new_context.log["teacher_wrote"]["train"] == {"rows": 48, "dropped_empty": 0, "dropped_cut": 0}


def test_a_student_with_another_tokenizer_learns_text_alone(context: Any, tmp_path: Path) -> None:
    teacher = taught(context, "film")
    new_context = replace(context, load_teacher=lambda: teacher)
    folder = write_tiny(tmp_path / "bytes", "qwen2", causal=True, max_position_embeddings=128)
    student = load_tiny(folder, new_context)
    options = sequence_distill.Params(epochs=10, learning_rate=1e-2, batch_size=8, precision="float32")
    sequence_distill.step.apply(student, options, new_context)
    assert answers(student, new_context) == ["film"] * 16
    assert "their tokenizers differ on" in new_context.log["warning"]
    with pytest.raises(BuildError, match="student and teacher have different tokenizers"):
        sequence_distill.step.apply(student, options.model_copy(update={"alpha": 0.5}), new_context)


def answers(model: Any, context: Any) -> list[str]:
    return [answer.text for answer in generate_answers(model, context.rows("selection"), context)]


def test_a_task_without_answers_is_refused_before_anything_loads(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    context = make_tiny_context(tmp_path, task=causal_lm.task, params=NEXT_TOKEN)
    student = load_tiny(folders["student"], context)
    with pytest.raises(
        BuildError, match="models of task causal_lm write no answers to learn from; expected text"
    ):
        sequence_distill.step.apply(student, sequence_distill.Params(), context)


def test_generated_text_is_no_answer_and_the_right_step_is_named(
    folders: dict[str, Path], context: Any
) -> None:
    student, params = load_tiny(folders["student"], context), distill.Params(generate=Generate(rows=4))
    with pytest.raises(
        BuildError, match="rows of this task are prompts to answer; use the step sequence_dist"
    ):
        distill.step.apply(student, params, context)


def test_references_that_are_lists_give_way_to_texts(
    teacher: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_by_hand(monkeypatch, write("film"))
    table = context.rows("train").table
    lists = pa.array([["a", "b"]] * len(table))
    rows = Rows(table.drop_columns(["label"]).append_column("label", lists))
    new_context = learn_from_written_answers(teacher, replace(context, splits={"train": rows}))
    assert new_context.rows("train").table["label"].to_pylist() == ["film"] * len(table)
