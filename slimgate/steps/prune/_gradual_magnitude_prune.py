"""Sparsity that rises while a model is trained: fast at first, when much is idle, and slowly in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slimgate.models.sparsity import Scope, keep_masks, zero_


@dataclass(frozen=True)
class CubicSchedule:
    """s(t) = final + (initial - final) · (1 - t)³ between two moments, given as shares of all steps.

    Source: Zhu & Gupta 2017, equation 1.
    """

    final: float
    initial: float = 0.0
    begin: float = 0.0
    end: float = 1.0

    def last_step(self, steps: int) -> int:
        """The step from which on the sparsity is final; always one of the steps."""
        return min(round(self.end * steps), steps - 1)

    def sparsity(self, step: int, steps: int) -> float:
        """The share of zeros in step 0 to steps - 1; 0 before it begins."""
        first, last = round(self.begin * steps), self.last_step(steps)
        if step >= last:
            return self.final
        if step < first:
            return 0.0
        left = 1 - (step - first) / (last - first)
        return self.final + (self.initial - self.final) * left**3


class GradualPruning:
    """A training hook: every `frequency` steps the smallest weights go, and what is gone stays at zero."""

    def __init__(
        self, layers: Mapping[str, nn.Linear], schedule: CubicSchedule, *, scope: Scope, frequency: int
    ) -> None:
        self._weights = [layer.weight for layer in layers.values()]
        self._schedule, self._scope, self._frequency = schedule, scope, frequency
        self._masks: list[Tensor] = [torch.ones_like(w, dtype=torch.bool) for w in self._weights]
        self.settled = False
        self.history: list[tuple[int, float]] = []

    def before_step(self, step: int, steps: int) -> None:
        """Prunes where it is time to; the last time exactly to the final sparsity."""
        last = self._schedule.last_step(steps)
        if step == last or (step < last and step % self._frequency == 0):
            self._prune(step, self._schedule.sparsity(step, steps))
        self.settled = step >= last

    def after_step(self, step: int, steps: int) -> None:
        """Puts what the optimizer moved back to zero."""
        for weight, mask in zip(self._weights, self._masks, strict=True):
            zero_(weight, mask)

    def _prune(self, step: int, sparsity: float) -> None:
        # what is gone already is below every magnitude, so that it goes first
        scores = [
            weight.detach().abs().masked_fill(~mask, -1.0)
            for weight, mask in zip(self._weights, self._masks, strict=True)
        ]
        self._masks = keep_masks(scores, sparsity, self._scope)
        self.history.append((step, round(sparsity, 4)))
        self.after_step(step, step)
