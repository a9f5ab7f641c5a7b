"""Trains the weights, all of them or all except frozen ones, on the labels of `train`.

{ fine_tune = { epochs = 1, learning_rate = 3e-4, batch_size = 32 } }
{ fine_tune = { freeze_embeddings = true, freeze_layers = 2 } }
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.training.params import TrainingParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(TrainingParams):
    """Options of training."""


class FineTune(Step[Params]):
    reads = ("train", "selection")
    stochastic = True

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after training."""
        from slimgate.steps.training.trainer import train
        from slimgate.tasks.parts.objectives import encode_training_rows

        train(model, encode_training_rows(model, context), params, context)
        return model


step = FineTune()
