"""Trains on the teacher's answers while the smallest weights of the blocks go, few by few.

    { gradual_magnitude_prune = { sparsity = 0.5, epochs = 2, alpha = 0.0, temperature = 2.0 } }

The share of zeros rises by the cubic schedule of Zhu & Gupta 2017 (section 3); after `end` the weights that
stay go on learning. Loss and its options: those of distill. Of several epochs only those at the final
sparsity are candidates for the best. Later training keeps the zeros.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.steps.finetune import distill


class Params(distill.Params):
    """The schedule, beside the options of distillation and training."""

    sparsity: float = Field(gt=0, lt=1)
    """Share of the blocks' linear weights that is zero at the end."""
    initial_sparsity: float = Field(default=0.0, ge=0, lt=1)
    """Share of these weights that is zero at the beginning."""
    scope: Literal["global", "layer", "row"] = "global"
    """Weights that are ranked together: all of them ("global"), of a matrix ("layer"), or of an output
    ("row")."""
    begin: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training steps after which pruning begins."""
    end: float = Field(default=0.6, gt=0, le=1)
    """Share of the training steps after which the final sparsity is reached."""
    frequency: int = Field(default=10, ge=1)
    """Training steps from one pruning to the next."""

    @model_validator(mode="after")
    def _rising(self) -> Params:
        if self.begin >= self.end:
            raise ValueError(f"begin = {self.begin}, end = {self.end} came, expected begin before end")
        if self.initial_sparsity > self.sparsity:
            raise ValueError(
                f"initial_sparsity = {self.initial_sparsity} came, expected at most {self.sparsity}"
            )
        return self


class GradualMagnitudePrune(distill.Distill[Params]):
    claims = ("sparser",)

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The model at its final sparsity, trained all the way."""
        from slimgate.models.linear_layers import linear_layers
        from slimgate.models.sparsity import note_pruned_layers
        from slimgate.steps.prune._gradual_magnitude_prune import CubicSchedule, GradualPruning

        layers = linear_layers(model)
        schedule = CubicSchedule(params.sparsity, params.initial_sparsity, params.begin, params.end)
        pruning = GradualPruning(layers, schedule, scope=params.scope, frequency=params.frequency)
        model = distill.distill_model(model, params, context, hooks=[pruning])
        context.log.update(note_pruned_layers(model, "gradual_magnitude_prune", layers))
        context.log.update(schedule=pruning.history)
        return model


step = GradualMagnitudePrune()
