"""Options of learning from a teacher, beside those of training, and what such steps declare.

Which block of the teacher each block of the student learns from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from slimgate.compress.training.params import TrainingParams
from slimgate.compress.training.transfer_params import TransferParams
from slimgate.errors import BuildError
from slimgate.params import VARIANT_NAME
from slimgate.protocols import UNLABELLED, Step

LayerMapping = Literal["even", "last"] | tuple[Annotated[int, Field(ge=0, strict=True)], ...]
TeacherName = Field(
    default="teacher",
    pattern=VARIANT_NAME,
    description='"teacher", "self" for the model before the step, or a variant',
)
MoreTeachers = Annotated[
    tuple[Annotated[str, Field(pattern=VARIANT_NAME)], ...],
    Field(description="whose answers are averaged with the teacher's"),
]


def map_layers(student: int, teacher: int, mapping: LayerMapping = "even") -> list[int]:
    """For each student block, the number of the teacher block it learns from.

    "even": spread evenly, the last from the last (Jiao et al. 2020); "last": the teacher's last ones (Sun et
    al. 2019, PKD-Last); a list says it block by block. Raises BuildError for a list that does not fit.
    """
    if mapping == "even":
        return [max(0, (2 * (i + 1) * teacher + student) // (2 * student) - 1) for i in range(student)]
    if mapping == "last":
        return [max(0, teacher - student + i) for i in range(student)]
    if len(mapping) != student or max(mapping) >= teacher:
        raise BuildError(
            f"layer_mapping {list(mapping)} came, expected for each of the student's {student} blocks one "
            f"of the teacher's, 0 to {teacher - 1}"
        )
    return [int(number) for number in mapping]


class SoftTargetParams(TrainingParams):
    """alpha, temperature, mse_weight: of the teacher's answers. teacher: whom the step learns from."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=2.0, gt=0)
    mse_weight: float = Field(default=0.0, ge=0)
    teacher: str = TeacherName


class InnerParams(SoftTargetParams):
    """What is compared inside the models; matching.py says how."""

    hidden_weight: float = Field(default=0.0, ge=0)
    hidden_loss: Literal["mse", "cosine"] = "mse"
    attention_weight: float = Field(default=0.0, ge=0)
    relation_weight: float = Field(default=0.0, ge=0)
    relation_heads: int | None = Field(default=None, ge=1)
    relation_block: int | None = Field(
        default=None, ge=0, description="of the teacher, from 0; default the last"
    )
    layer_mapping: LayerMapping = "even"
    projection_learning_rate: float | None = Field(default=None, gt=0, lt=1)
    stored_logits: bool | None = None


class OneTeacherParams(InnerParams, TransferParams):
    """Options of learning from one teacher, and of the rows that it is learnt on."""


D = TypeVar("D", bound=OneTeacherParams)


class DistillationStep(Step[D]):
    """A step that learns from a teacher, on the rows of train and on those of a transfer set."""

    reads: tuple[str, ...] = ("train", "selection")
    uses_teacher = True
    stochastic = True

    def learns_from(self, params: D) -> str:
        """Whom the step learns from."""
        return params.teacher

    def adds_rows(self, params: D) -> bool:
        """Whether there are rows beside the train split's."""
        return params.adds_rows

    def row_files(self, params: D) -> tuple[Path, ...]:
        """The files of unlabelled rows."""
        return params.transfer

    def also_reads(self, params: D) -> tuple[str, ...]:
        """The split that only some options read."""
        copied = params.augment is not None and params.augment.unlabelled
        return (UNLABELLED,) if params.unlabelled or copied else ()

    def functions(self, params: D) -> tuple[str, ...]:
        """The user's own function that translates."""
        name = None if params.augment is None else params.augment.translator
        return () if name is None else (name,)
