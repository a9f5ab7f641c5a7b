"""Trains low-rank adapters to answer like the suite's teacher: recovery after pruning or quantization.

    { lora_distill = { r = 8, epochs = 3 } }                             # after a pruning: its zeros stay
    { lora_distill = { r = 8, merge = false, epochs = 3 } }              # with integer weights

It trains the adapters of `lora` with the loss of `distill`. In `lora`, alpha scales the adapters, so the
weight of the labels has another name here than in `distill`: label_weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.training.params import LoraParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(LoraParams):
    """Options of adapters, of training and of the loss."""

    label_weight: float = Field(default=0.1, ge=0, le=1)
    """Weight of the labels in the loss; 1 - label_weight is the weight of the teacher's answers."""
    temperature: float = Field(default=2.0, gt=0)
    """Divides the logits of both models before they are compared; more than 1 softens the answers."""
    mse_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the mean squared error of the logits, or of the embeddings."""
    hidden_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the hidden states' error."""


class LoraDistill(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    reads = ("train", "selection")
    uses_teacher = True
    stochastic = True
    packages = ("peft",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after training the adapters on the teacher's answers."""
        from slimgate.steps.finetune import distill
        from slimgate.steps.training.adapters import adapters
        from slimgate.steps.training.distillation import DistillationLoss, load_student_and_teacher
        from slimgate.steps.training.trainer import train

        shares = distill.Params(
            alpha=params.label_weight,
            temperature=params.temperature,
            mse_weight=params.mse_weight,
            hidden_weight=params.hidden_weight,
            batch_size=params.batch_size,
            processes=params.processes,
            precision=params.precision,
        )
        student, teacher, targets = load_student_and_teacher(model, context)
        with adapters(model, "lora_distill", params, context):
            loss = DistillationLoss(student, teacher, shares, context, targets=targets)
            train(model, (student.encoded, targets), params.for_training(), context, loss=loss)
        context.log["loss_parts"] = loss.compute_mean_parts()
        return model


step = LoraDistill()
