"""Options of learning from a teacher, in addition to those of training, and what such steps declare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from slimgate.errors import BuildError
from slimgate.plugins.params import VARIANT_NAME
from slimgate.plugins.rows import UNLABELLED
from slimgate.plugins.step import Step
from slimgate.steps.training.params import AnswerParams
from slimgate.steps.training.transfer_params import TransferParams

LayerMapping = Literal["even", "last"] | tuple[Annotated[int, Field(ge=0, strict=True)], ...]


def map_layers(student: int, teacher: int, mapping: LayerMapping = "even") -> list[int]:
    """For each student block, the number of the teacher block it learns from.

    "even": spread evenly, the last from the last (Jiao et al. 2020); "last": the teacher's last ones (Sun et
    al. 2019, PKD-Last); a list has a number for each block. Raises BuildError for a list that does not fit.
    """
    if mapping == "even":
        return [max(0, (2 * (i + 1) * teacher + student) // (2 * student) - 1) for i in range(student)]
    if mapping == "last":
        return [max(0, teacher - student + i) for i in range(student)]
    if len(mapping) != student or max(mapping) >= teacher:
        raise BuildError(
            f"layer_mapping {list(mapping)} was given, expected one block of the teacher (0 to "
            f"{teacher - 1}) for each of the student's {student} blocks"
        )
    return [int(number) for number in mapping]


class InnerParams(AnswerParams):
    """The teacher of the step, and what is compared inside the models; matching.py says how."""

    teacher: str = Field(default="teacher", pattern=VARIANT_NAME)
    """The model to learn from: "teacher" (the suite's), "self" (the model before the step), or a variant."""
    hidden_loss: Literal["mse", "cosine"] = "mse"
    """Error of the hidden states: the mean squared error ("mse"), or 1 - cosine similarity ("cosine")."""
    attention_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the attention scores' error; both models need the same number of heads."""
    relation_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the divergence between both models' relations among queries, keys and values
    (MiniLMv2), in the last block."""
    relation_heads: int | None = Field(default=None, ge=1)
    """Number of parts that the width is divided into for relations; default: the teacher's attention
    heads."""
    relation_block: int | None = Field(default=None, ge=0)
    """Index (from 0) of the teacher's block whose relations the student learns; default: the last."""
    layer_mapping: LayerMapping = "even"
    """The teacher's block for each block of the student: "even" spreads the teacher's blocks evenly, "last"
    uses the teacher's last blocks, or give a list of indices (from 0)."""
    projection_learning_rate: float | None = Field(default=None, gt=0, lt=1)
    """Learning rate of the projection between hidden states of different widths; default: learning_rate."""
    stored_logits: bool | None = None
    """true computes the teacher's logits once before training, false in each training step. Default: true,
    unless the loss compares something inside the models, or logits of tokens need more than 1 GiB."""


class OneTeacherParams(InnerParams, TransferParams):
    """Options of learning from one teacher, and of the rows for it."""


T = TypeVar("T", bound=InnerParams)
D = TypeVar("D", bound=OneTeacherParams)


class TaughtStep(Step[T]):
    """A step that learns from a teacher, on the rows of train."""

    reads: tuple[str, ...] = ("train", "selection")
    uses_teacher = True
    stochastic = True

    def learns_from(self, params: T) -> str:
        """The model that the step learns from."""
        return params.teacher


class DistillationStep(TaughtStep[D]):
    """A step that learns from a teacher, on the rows of train and on those of a transfer set."""

    def adds_rows(self, params: D) -> bool:
        """Whether there are rows in addition to the train split's."""
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
