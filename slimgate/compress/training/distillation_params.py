"""Options of learning from a teacher, beside those of training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slimgate.compress.training.layer_mapping import LayerMapping
from slimgate.compress.training.training_params import TrainingParams
from slimgate.compress.training.transfer_params import TransferParams
from slimgate.params import VARIANT_NAME

TeacherName = Field(
    default="teacher",
    pattern=VARIANT_NAME,
    description='"teacher", "self" for the model before the step, or a variant',
)
MoreTeachers = Annotated[
    tuple[Annotated[str, Field(pattern=VARIANT_NAME)], ...],
    Field(description="whose answers are averaged with the teacher's"),
]


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
