"""Trains the model to answer as the suite's teacher does.

    { distill = { alpha = 0.5, temperature = 2.0, epochs = 1 } }

loss = alpha · cross-entropy(labels)
     + (1 - alpha) · T² · KL(softmax(teacher / T) ‖ softmax(student / T)), batchmean     (Hinton et al. 2015)
     + mse_weight · mean squared error of the logits                                     (Ba & Caruana 2014)
     + hidden_weight · mean squared error of the hidden states, layers mapped evenly     (Jiao et al. 2020)

The teacher reads the rows by its own tokenizer; a student of another family or tokenizer is warned about, in
the log and the report. The teacher's logits of the train rows are computed once, before training; where
hidden states are asked for, it runs beside the student instead.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from slimgate.protocols import BuildContext
from slimgate.training_params import TrainingParams

takes = frozenset({"torch"})
gives = None
reads = ("train", "selection")
uses_teacher = True
stochastic = True


class Params(TrainingParams):
    """Options of distillation, beside those of training."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=2.0, gt=0)
    mse_weight: float = Field(default=0.0, ge=0)
    hidden_weight: float = Field(default=0.0, ge=0)


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model after training on the teacher's answers."""
    from slimgate.distillation import DistillationLoss, unlike
    from slimgate.training import labelled, train, training_rows

    data, teacher = training_rows(model, context), context.load_teacher()
    taught, _ = training_rows(teacher, context)
    if warning := unlike(model, teacher, data[0], taught):
        context.log["warning"] = warning
    loss = DistillationLoss(model, teacher, data[0], taught, params, context)
    train(model, data, params, context, selection=labelled(model, "selection", context), loss=loss)
    context.log["loss_parts"] = loss.mean_parts()
    return model
