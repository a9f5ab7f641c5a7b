"""Several teachers as one: the mean of their answers to training rows.

    answers = compute_ensemble_answers(teaching, objective)
    answers.select_answers([3, 0])

The mean of logits is the normalised geometric mean of the teachers' distributions, at any temperature
(Hinton et al. 2015, section 1); the mean of numbers is their plain mean. Vectors have no mean, because two
encoders' spaces are rotated against each other. Each teacher reads the rows with its own tokenizer. Its
answers are stored like those of a single teacher, so that an ensemble and its members share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext
from slimgate.steps.training.distillation import (
    DistillationRows,
    ReadRows,
    describe_mismatch,
    has_same_tokens,
)
from slimgate.steps.training.teacher_answers import (
    MOST_BYTES,
    TAKEN,
    TeacherAnswers,
    compute_teacher_answers,
    count_stored_bytes,
)
from slimgate.tasks.parts.objectives import Objective, Targets


class MeanAnswers:
    """The mean of several teachers' answers to the same rows, computed for the rows of each call.

    Raises ValueError if they differ in the number of answers or of outputs.
    """

    def __init__(self, parts: Sequence[TeacherAnswers]) -> None:
        for part in parts[1:]:
            if part.values.shape != parts[0].values.shape or (part.starts != parts[0].starts).any():
                raise ValueError(
                    f"{part.values.shape} answers, but the first teacher gives {parts[0].values.shape}"
                )
        self._parts = tuple(parts)

    def select_answers(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        """The mean answers of some rows, in that order."""
        total = self._parts[0].select_answers(positions)
        for part in self._parts[1:]:
            total += part.select_answers(positions)
        total /= len(self._parts)
        return total

    @property
    def source(self) -> str:
        """Their origin, for the log."""
        taken_parts = sum(part.source == TAKEN for part in self._parts)
        return (
            f"the mean of {len(self._parts)} teachers', {taken_parts} of them from the store, "
            "read by memory map"
        )


@dataclass(frozen=True, eq=False)
class Teaching:
    """The teachers, the student's rows, and the settings of an ensemble.

    student: with its rows; targets: their labels; teacher: the first one, with its rows. rows: before any
    tokenizer. more: names of the models of context.of_more_teachers(). stored: answers of any size are
    stored. precision: the step's option, for computing them.
    """

    student: ReadRows
    targets: Targets
    teacher: ReadRows
    rows: DistillationRows
    more: Sequence[str]
    context: BuildContext
    stored: bool = False
    precision: str = "auto"


def compute_ensemble_answers(teaching: Teaching, objective: Objective) -> MeanAnswers:
    """The mean of the answers of the teacher and the further ones, which are loaded one at a time.

    context.log gets a warning for each that differs from the student in family or tokenizer. Raises
    BuildError if answers have no mean, depend on more than their row, or exceed MOST_BYTES without `stored`.
    """
    _check_objective(objective)
    contexts = teaching.context.of_more_teachers()
    if len(contexts) != len(teaching.more):
        raise BuildError("more_teachers: the step has that option and must declare also_learns_from(params)")
    _check_size(teaching, objective)
    parts = [_compute_answers(teaching.teacher, teaching, objective, teaching.context)]
    for name, context in zip(teaching.more, contexts, strict=True):
        parts.append(_compute_further_answers(name, teaching, objective, context))
        try:
            MeanAnswers(parts)
        except ValueError as error:
            raise BuildError(
                f'more_teachers: "{name}" gives {error}; teachers whose answers are averaged must give '
                "answers of the same shape"
            ) from None
    return MeanAnswers(parts)


def _compute_further_answers(
    name: str, teaching: Teaching, objective: Objective, context: BuildContext
) -> TeacherAnswers:
    """The answers of one of the further teachers, which is freed afterwards with its rows."""
    other = teaching.rows.read_by(context.load_teacher())
    if not (objective.by_row or has_same_tokens(teaching.teacher, other)):
        raise BuildError(
            f'more_teachers: an answer is a token here, and "{name}" has a different tokenizer than the '
            "first teacher; teachers whose answers are averaged need the same tokenizer"
        )
    if warning := describe_mismatch(teaching.student, other):
        warnings = [context.log["warning"]] if "warning" in context.log else []
        context.log["warning"] = "; ".join([*warnings, f"{name}: {warning}"])
    return _compute_answers(other, teaching, objective, context)


def _compute_answers(
    teacher: ReadRows, teaching: Teaching, objective: Objective, context: BuildContext
) -> TeacherAnswers:
    return compute_teacher_answers(
        teacher.model, teacher.encoded, teaching.targets, objective, context, precision=teaching.precision
    )


def _check_objective(objective: Objective) -> None:
    if objective.any_width:
        raise BuildError(
            "more_teachers: vectors of different models cannot be averaged, because their axes do not "
            "correspond; learn from one teacher"
        )
    if not (objective.by_row or objective.by_token):
        raise BuildError("more_teachers is only for answers that depend only on their own row; leave it out")


def _check_size(teaching: Teaching, objective: Objective) -> None:
    """Raises if answers that are tokens are too large: several teachers cannot run in each training step."""
    if objective.by_row or teaching.stored:
        return
    teacher, teachers = teaching.teacher, len(teaching.more) + 1
    size = teachers * count_stored_bytes(
        teacher.model, teacher.encoded, teaching.targets, objective, teaching.context.device
    )
    if size > MOST_BYTES:
        raise BuildError(
            f"more_teachers: the answers of {teachers} teachers would be {size / 2**30:.1f} GB on disk; set "
            "stored_logits = true to store them anyway, or use fewer rows or tokens"
        )
