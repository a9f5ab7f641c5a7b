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
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Encoded
from slimgate.steps.training.distillation import DistillationRows, describe_mismatch, has_same_tokens
from slimgate.steps.training.teacher_answers import (
    MOST_BYTES,
    TAKEN,
    Answers,
    compute_teacher_answers,
    count_stored_bytes,
)
from slimgate.tasks.parts.objectives import Labelled, Objective

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class MeanAnswers:
    """The mean of several teachers' answers to the same rows, computed for the rows of each call.

    Raises ValueError if they differ in the number of answers or of outputs.
    """

    def __init__(self, parts: Sequence[Answers]) -> None:
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

    data: the rows as the student reads them; teacher_encoded: as the first teacher reads them; rows: before
    any tokenizer. more: names of the models of context.of_more_teachers(). stored: answers of any size are
    stored. precision: the step's option, for computing them.
    """

    student: TorchModel
    data: Labelled
    teacher: TorchModel
    teacher_encoded: Encoded
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
    own_context = teaching.context.of_more_teachers()
    if len(own_context) != len(teaching.more):
        raise BuildError("more_teachers: the step has that option and must declare also_learns_from(params)")
    _check_size(teaching, objective)
    targets, precision = teaching.data[1], teaching.precision
    first = compute_teacher_answers(
        teaching.teacher, teaching.teacher_encoded, targets, objective, teaching.context, precision=precision
    )
    parts = [first]
    for name, context in zip(teaching.more, own_context, strict=True):
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
) -> Answers:
    """The answers of one of the further teachers, which is freed afterwards with its rows."""
    other = context.load_teacher()
    encoded = teaching.rows.read_by(other)
    if not (objective.by_row or has_same_tokens(teaching.teacher, other, teaching.teacher_encoded, encoded)):
        raise BuildError(
            f'more_teachers: an answer is a token here, and "{name}" has a different tokenizer than the '
            "first teacher; teachers whose answers are averaged need the same tokenizer"
        )
    if warning := describe_mismatch(teaching.student, other, teaching.data[0], encoded):
        warnings = [context.log["warning"]] if "warning" in context.log else []
        context.log["warning"] = "; ".join([*warnings, f"{name}: {warning}"])
    targets, precision = teaching.data[1], teaching.precision
    return compute_teacher_answers(other, encoded, targets, objective, context, precision=precision)


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
    context, targets = teaching.context, teaching.data[1]
    bytes_stored = count_stored_bytes(
        teaching.teacher, teaching.teacher_encoded, targets, objective, context.device
    )
    if (size := bytes_stored * (len(teaching.more) + 1)) > MOST_BYTES:
        raise BuildError(
            f"more_teachers: the answers of {len(teaching.more) + 1} teachers would be {size / 2**30:.1f} "
            "GiB on disk; set stored_logits = true to store them anyway, or use fewer rows or tokens"
        )
