"""Several teachers as one: the mean of what they answer on the rows of a lesson.

    answers = ensemble_answers(teacher, taught, rows, names, targets, objective, context)
    answers.of([3, 0])

Of logits the mean makes the normalised geometric mean of the teachers' distributions, at any temperature
(Hinton et al. 2015, section 1); of numbers and vectors it is what it says.
Each teacher reads the rows by its own tokenizer, and its answers are kept in the store as those of an only
teacher are, so that an ensemble and its members share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.distillation import same_tokens
from slimgate.distillation_rows import DistillationRows
from slimgate.errors import BuildError
from slimgate.learning import Targets
from slimgate.objectives import Objective
from slimgate.protocols import BuildContext, Encoded
from slimgate.teacher_answers import TAKEN, Answers, teacher_answers


class MeanAnswers:
    """The mean of several teachers' answers on the same rows, taken row by row as they are asked for.

    Raises ValueError where they have not as many answers, or not as many outputs.
    """

    def __init__(self, parts: Sequence[Answers]) -> None:
        for part in parts[1:]:
            if part.values.shape != parts[0].values.shape or (part.starts != parts[0].starts).any():
                raise ValueError(f"{part.values.shape} answers, and the first {parts[0].values.shape}")
        self._parts = tuple(parts)

    def of(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        """The mean answers of some rows, in that order."""
        total = self._parts[0].of(positions).astype(np.float64)
        for part in self._parts[1:]:
            total += part.of(positions)
        return (total / len(self._parts)).astype(np.float32)

    @property
    def source(self) -> str:
        """Where they come from, for the log."""
        taken = sum(part.source == TAKEN for part in self._parts)
        return f"the mean of {len(self._parts)} teachers', {taken} of them from the store, read by memory map"


def ensemble_answers(
    teacher: Any,
    taught: Encoded,
    rows: DistillationRows,
    names: Sequence[str],
    targets: Targets,
    objective: Objective,
    context: BuildContext,
) -> MeanAnswers:
    """The mean of what `teacher` and the models of context.more_teachers answer.

    taught: the rows as `teacher` reads them. names: of the further ones, for errors. targets: the student's
    labels, by which answers that are tokens count. A further teacher is let go of when it has answered.
    Raises BuildError where their answers are not of one shape, or where an answer depends on more than its
    row.
    """
    if not (objective.by_row or getattr(objective, "by_token", False)):
        raise BuildError("more_teachers is for answers that depend on their row alone; leave it out")
    parts = [teacher_answers(teacher, taught, targets, objective, context)]
    for name, own in zip(names, context.of_more_teachers(), strict=True):
        other = own.load_teacher()
        encoded = rows.read_by(other)
        if not (objective.by_row or same_tokens(teacher, other, taught, encoded)):
            raise BuildError(
                f'more_teachers: an answer is a token here, and "{name}" has another tokenizer than the '
                "first teacher; teachers whose answers are averaged need the same"
            )
        parts.append(teacher_answers(other, encoded, targets, objective, own))
        try:
            MeanAnswers(parts)
        except ValueError as error:
            raise BuildError(
                f'more_teachers: "{name}" gives {error}; teachers whose answers are averaged must be alike'
            ) from None
    return MeanAnswers(parts)
