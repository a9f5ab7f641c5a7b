"""Options of the steps that prune during training on the teacher's answers and the labels."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from slimgate.steps.training.params import AnswerParams


class GradualParams(AnswerParams):
    """Options of training and distillation, and the shape of the schedule."""

    warm_up: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training steps that come before pruning has any effect."""
    cool_down: float = Field(default=0.3, ge=0, lt=1)
    """Share of the training steps that come after pruning is complete; keep_best chooses among the epochs
    that end in this part."""

    @model_validator(mode="after")
    def _check_schedule(self) -> GradualParams:
        if self.warm_up + self.cool_down >= 1:
            raise PydanticCustomError(
                "schedule",
                "warm_up + cool_down is {total}, expected less than 1: the steps between are for pruning",
                {"total": self.warm_up + self.cool_down},
            )
        return self


def compute_pruning_progress(step: int, steps: int, *, warm_up: float, cool_down: float) -> float:
    """The progress of pruning in [0, 1]: 0 in the warm-up, 1 in the cool-down."""
    start, end = warm_up * steps, (1 - cool_down) * steps
    return min(max((step - start) / (end - start), 0.0), 1.0)


def compute_cubic_sparsity(sparsity: float, progress: float) -> float:
    """Rises fast at first, slowly at the end. Source: Zhu & Gupta 2017, section 3; Sanh et al. 2020."""
    return sparsity * (1 - (1 - progress) ** 3)
