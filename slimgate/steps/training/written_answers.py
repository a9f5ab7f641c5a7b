"""Rows with the teacher's written answers as targets: sequence-level distillation.

    context = learn_from_written_answers(teacher, context)    # with another train and selection

The teacher answers greedily; Kim and Rush 2016 (Sequence-Level Knowledge Distillation, section 3.2) search
with a beam. Its answers are stored under the digests of the teacher and of the prompts, for every student
that learns from it. Rows whose answer is empty, or cut at `max_new_tokens`, are left out.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from slimgate._system.digests import digest_json
from slimgate.errors import BuildError
from slimgate.models.write_answers import Written
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.module_of import module_of
from slimgate.plugins.rows import Rows
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.training.teacher_answers import BATCH_SIZE, KIND, PROGRESS

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

# The reference column for a suite whose rows have no references.
COLUMN = "teacher_answer"
_FILE = "answers.json"


def check_answers_are_written(context: BuildContext) -> None:
    """Raises BuildError for a task whose models write no answers."""
    if context.task.encode_prompts is None:
        name = module_of(context.task).rpartition(".")[2]
        raise BuildError(
            f"models of task {name} write no answers to learn from; expected text_generation or text_to_text"
        )


def learn_from_written_answers(teacher: TorchModel, context: BuildContext) -> BuildContext:
    """The same context, but train and selection have the teacher's answers as references.

    context.log gets how many rows each split keeps, and how many answers were empty or cut. Raises BuildError
    if a split has no row left.
    """
    check_answers_are_written(context)
    column = context.task_params.reference or COLUMN
    answered = {
        split: _make_answered_rows(teacher, split, column, context)
        for split in ("train", "selection")
        if context.splits.get(split)
    }
    return replace(
        context,
        splits={**context.splits, **answered},
        task_params=context.task_params.model_copy(update={"reference": column}),
    )


def _make_answered_rows(teacher: TorchModel, split: str, column: str, context: BuildContext) -> Rows:
    rows = context.rows(split)
    written = generate_answers(teacher, rows, context)
    is_empty = [not answer.text.strip() for answer in written]
    complete = [answer.ended and not empty for answer, empty in zip(written, is_empty, strict=True)]
    counts = {"rows": sum(complete), "dropped_empty": sum(is_empty)}
    counts["dropped_cut"] = len(complete) - sum(counts.values())
    context.log.setdefault("teacher_wrote", {})[split] = counts
    if not any(complete):
        raise BuildError(
            f"the teacher's answers to all {len(complete)} rows of {split} are empty, or cut at "
            f"max_new_tokens = {context.task_params.max_new_tokens}; raise this limit, or use a teacher "
            "that ends its answers"
        )
    table = rows.table.drop_columns([column]) if column in rows.table.column_names else rows.table
    texts = pa.array([answer.text for answer in written], pa.string())
    return Rows(table.append_column(column, texts).filter(pa.array(complete)))


def generate_answers(teacher: TorchModel, rows: Rows, context: BuildContext) -> list[Written]:
    """The teacher's greedy answer to each row. The seconds are logged as "teacher"."""
    task: Any = context.task  # check_answers_are_written has seen that it writes
    options = context.task_params.model_copy(update={"temperature": 0.0, "repeats": 1})

    def fill(folder: Path) -> Json:
        plan = AnswerPlan(
            BATCH_SIZE, progress=lambda _stage, done, total: context.progress(PROGRESS, done, total)
        )
        predictor = EagerPredictor(teacher.network.eval(), context.device)
        answers = task.answer(options, predictor, prompts, plan)[:, 0]
        texts = json.dumps([[answer.text, answer.ids, answer.ended] for answer in answers])
        (folder / _FILE).write_text(texts, encoding="utf-8")
        return {"rows": len(rows)}

    with context.time_stage("teacher"):
        prompts = task.encode_prompts(options, rows, teacher.tokenizer)
        key = {
            "prompts": digest_json([[int(token) for token in ids] for ids in prompts.columns["input_ids"]]),
            "options": options.model_dump(mode="json"),
        }
        folder, _ = context.shared_folder(KIND, key, fill)
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return [Written(text, tuple(ids), ended) for text, ids, ended in content]
