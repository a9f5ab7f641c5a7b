"""Steps on one tower of an image-text model, or on each of them.

    { in_tower = { tower = "vision", steps = [{ keep_layers = [0, 2] }] } }
    { in_tower = { tower = "both", steps = [{ magnitude_prune = { sparsity = 0.5 } }] } }

Inside, a step sees the tower as if it were the model: its blocks, its layers, its embeddings; the other one
stays as it is, also where a step trains (locked-image tuning, Zhai et al. 2022, trains the text tower alone).
Losses are those of both towers together. "both": the steps on the vision tower, then on the text tower, each
ranking, choosing and training by itself; to train both at once, write the step without in_tower.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from slimgate.compress.towers._tower_steps import TowerSteps, inner_steps
from slimgate.loading import load
from slimgate.params import Table

takes = frozenset({"torch", "torch_quantized"})
gives = None
reads: tuple[str, ...] = ()
uses_teacher = False
stochastic = False


class Params(Table):
    """tower: which; steps: as a variant has them, one method each."""

    tower: Literal["vision", "text", "both"] = "both"
    steps: tuple[dict[str, Any], ...] = Field(min_length=1)

    @property
    def precision(self) -> str | None:
        """What the steps compute in while they train, "auto" where one of them says so; part of the key."""
        stated = [
            getattr(step.params, "precision", None) for step in inner_steps(self.tower, self.steps, load)
        ]
        return "auto" if "auto" in stated else next((one for one in stated if one), None)

    @model_validator(mode="after")
    def _known(self) -> Self:
        inner_steps(self.tower, self.steps, load)
        return self


def resolved(params: Params) -> TowerSteps:
    """The method that these steps make together: what it reads and gives is what they do."""
    return TowerSteps(params.tower, inner_steps(params.tower, params.steps, load))


def apply(model: Any, params: Params, context: Any) -> Any:
    """The model after the steps."""
    return resolved(params).apply(model, params, context)
