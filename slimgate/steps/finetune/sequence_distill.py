"""Trains the model on the answers that the teacher writes: sequence-level distillation.

    { sequence_distill = { epochs = 3, learning_rate = 1e-3 } }
    { sequence_distill = { alpha = 0.5, temperature = 1.0 } }

The teacher answers the prompts of train and selection once, greedily. Its answers replace the references, so
a task without references can learn too. Only the answers are learnt, not the prompts. With alpha = 1 the
student sees only the teacher's text, so it may have another tokenizer. With a lower alpha it also learns the
teacher's probabilities of each token, as in `distill`.

Rows whose answer is empty, or cut at `max_new_tokens`, are left out and counted in the log.
Source: Kim & Rush 2016 (Sequence-Level Knowledge Distillation), by greedy answers in place of a beam.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.steps.training.params import InnerParams, TaughtStep

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(InnerParams):
    """Options of distillation; alpha weighs the answers that the teacher wrote."""

    alpha: float = Field(default=1.0, ge=0, le=1)
    """Weight of the teacher's written answers in the loss; 1 - alpha is the weight of the teacher's
    probabilities."""


class SequenceDistill(TaughtStep[Params]):
    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after training on the teacher's answers. Raises BuildError for other tasks."""
        from slimgate.steps.finetune import distill
        from slimgate.steps.training.written_answers import (
            check_answers_are_written,
            learn_from_written_answers,
        )

        check_answers_are_written(context)
        teacher = context.load_teacher()
        student_context = replace(learn_from_written_answers(teacher, context), load_teacher=lambda: teacher)
        return distill.distill_model(model, distill.Params(**params.model_dump()), student_context)


step = SequenceDistill()
