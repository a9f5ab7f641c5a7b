"""Trains on the teacher's answers and prunes the smallest weights of the blocks, a few at a time.

    { gradual_magnitude_prune = { sparsity = 0.5, epochs = 2, alpha = 0.0, temperature = 2.0 } }

The share of zeros rises by the cubic schedule of Zhu & Gupta 2017 (section 3); after `end` the remaining
weights continue to learn. Loss and its options: those of distill. Only epochs at the final sparsity are
candidates for the best epoch. Later training keeps the zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.steps.finetune import distill

if TYPE_CHECKING:
    from torch import Tensor, nn

    from slimgate.models.sparsity import Scope
    from slimgate.models.torch_model import TorchModel


class Params(distill.Params):
    """The schedule, in addition to the options of distillation and training."""

    sparsity: float = Field(gt=0, lt=1)
    """Share of the weights in the blocks' linear layers that is zero from `end` on."""
    initial_sparsity: float = Field(default=0.0, ge=0, lt=1)
    """Share of the weights in the blocks' linear layers that is zero at `begin`."""
    scope: Literal["global", "layer", "row"] = "global"
    """Which weights are ranked together: all weights ("global"), the weights of a matrix ("layer"), or the
    weights of one output ("row")."""
    begin: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training steps after which pruning begins."""
    end: float = Field(default=0.6, gt=0, le=1)
    """Share of the training steps after which the final sparsity is reached."""
    frequency: int = Field(default=10, ge=1)
    """Number of training steps from one pruning to the next."""

    @model_validator(mode="after")
    def _check_rising(self) -> Params:
        if self.begin >= self.end:
            raise ValueError(f"begin = {self.begin}, end = {self.end} were given, expected begin before end")
        if self.initial_sparsity > self.sparsity:
            raise ValueError(
                f"initial_sparsity = {self.initial_sparsity} was given, expected at most {self.sparsity}"
            )
        return self


class GradualMagnitudePrune(distill.Distill[Params]):
    claims = ("sparser",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model at its final sparsity, after all training."""
        from slimgate.models.linear_layers import find_linear_layers
        from slimgate.models.sparsity import note_pruned_layers

        layers = find_linear_layers(model)
        schedule = CubicSchedule(params.sparsity, params.initial_sparsity, params.begin, params.end)
        pruning = GradualPruning(layers, schedule, scope=params.scope, frequency=params.frequency)
        model = distill.distill_model(model, params, context, hooks=[pruning])
        context.log.update(note_pruned_layers(model, "gradual_magnitude_prune", layers))
        context.log.update(schedule=pruning.history)
        return model


step = GradualMagnitudePrune()


@dataclass(frozen=True)
class CubicSchedule:
    """s(t) = final + (initial - final) · (1 - t)³ between two moments, given as shares of all steps.

    Source: Zhu & Gupta 2017, equation 1.
    """

    final: float
    initial: float = 0.0
    begin: float = 0.0
    end: float = 1.0

    def find_last_step(self, steps: int) -> int:
        """The step from which on the sparsity is final; always one of the steps."""
        return min(round(self.end * steps), steps - 1)

    def compute_sparsity(self, step: int, steps: int) -> float:
        """The share of zeros in step 0 to steps - 1; 0 before it begins."""
        first, last = round(self.begin * steps), self.find_last_step(steps)
        if step >= last:
            return self.final
        if step < first:
            return 0.0
        remaining = 1 - (step - first) / (last - first)
        return self.final + (self.initial - self.final) * remaining**3


class GradualPruning:
    """A training hook: every `frequency` steps it prunes the smallest weights; pruned ones stay zero."""

    def __init__(
        self, layers: Mapping[str, nn.Linear], schedule: CubicSchedule, *, scope: Scope, frequency: int
    ) -> None:
        import torch

        self._weights = [layer.weight for layer in layers.values()]
        self._schedule, self._scope, self._frequency = schedule, scope, frequency
        self._masks: list[Tensor] = [torch.ones_like(w, dtype=torch.bool) for w in self._weights]
        self.settled = False
        self.history: list[tuple[int, float]] = []

    def before_step(self, step: int, steps: int) -> None:
        """Prunes at the scheduled steps; the last time exactly to the final sparsity."""
        last = self._schedule.find_last_step(steps)
        if step == last or (step < last and step % self._frequency == 0):
            self._prune(step, self._schedule.compute_sparsity(step, steps))
        self.settled = step >= last

    def after_step(self, step: int, steps: int) -> None:
        """Sets pruned weights that the optimizer changed back to zero."""
        self._apply_masks()

    def _apply_masks(self) -> None:
        from slimgate.models.sparsity import zero_

        for weight, mask in zip(self._weights, self._masks, strict=True):
            zero_(weight, mask)

    def _prune(self, step: int, sparsity: float) -> None:
        from slimgate.models.sparsity import make_keep_masks

        # pruned weights rank below every magnitude, so that they stay pruned
        scores = [
            weight.detach().abs().masked_fill(~mask, -1.0)
            for weight, mask in zip(self._weights, self._masks, strict=True)
        ]
        self._masks = make_keep_masks(scores, sparsity, self._scope)
        self.history.append((step, round(sparsity, 4)))
        self._apply_masks()
