"""Trains the model on its own answers, scored by the teacher token by token: on-policy distillation (GKD).

    { on_policy_distill = { epochs = 3, learning_rate = 5e-4 } }
    { on_policy_distill = { student_share = 1.0, beta = 1.0, sampling_temperature = 1.0 } }

A student that learns from right answers never sees the consequences of its own mistakes. Here it writes the
answers to a batch's prompts itself, with the weights that it has at that step, and learns the teacher's
probabilities of each token that it wrote. Prompts are not learnt.

The loss is the generalized Jensen-Shannon divergence of the teacher's probabilities P and the student's Q,
mean over the tokens of the answers:

    beta · KL(P ‖ M) + (1 - beta) · KL(Q ‖ M),  M = beta · P + (1 - beta) · Q

| beta | loss                   |                                                               |
|------|------------------------|---------------------------------------------------------------|
| 0    | KL(P ‖ Q), forward     | covers all that the teacher may say                           |
| 0.5  | Jensen-Shannon         | in between                                                    |
| 1    | KL(Q ‖ P), reverse     | keeps to what the teacher is likely to say                    |

The other batches (1 - student_share) have the references, or the teacher's greedy answers if the task has
none. Teacher and student need the same tokenizer. Stop texts end the student's answers, as they do when the
model is judged.
Source: Agarwal et al. 2024 (On-Policy Distillation of Language Models), algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import VARIANT_NAME
from slimgate.plugins.step import Step
from slimgate.steps.training.params import TrainingParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(TrainingParams):
    """Which model writes, and how the student's probabilities are compared with the teacher's."""

    teacher: str = Field(default="teacher", pattern=VARIANT_NAME)
    """The model to learn from: "teacher" (the suite's), "self" (the model before the step), or a variant."""
    student_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the batches whose answers the student writes; the other batches have the reference answers."""
    beta: float = Field(default=0.5, ge=0, le=1)
    """Kind of divergence, from 0 to 1: 0 is forward KL, 1 is reverse KL, and a value in between is a
    generalized Jensen-Shannon divergence."""
    sampling_temperature: float = Field(default=1.0, ge=0)
    """Temperature at which the student draws tokens; at 0 the student writes the most likely token."""

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if self.processes > 1:
            raise ValueError(
                f"processes = {self.processes} split a batch by the tokens of its references, but the "
                "student writes other tokens; leave processes out"
            )
        return self


class OnPolicyDistill(Step[Params]):
    reads = ("train", "selection")
    uses_teacher = True
    stochastic = True

    def learns_from(self, params: Params) -> str:
        """The model that the step learns from."""
        return params.teacher

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after training. Raises BuildError for other tasks, and for another tokenizer."""
        from slimgate.steps.finetune._on_policy_distill import distill_on_policy

        distill_on_policy(model, params, context)
        return model


step = OnPolicyDistill()
