"""Replaces the token table by a narrow one and a projection to the model's width.

    { factorize_embeddings = { rank = 128 } }       or energy = 0.9

A table V × d becomes V × rank and rank × d: the vectors in the directions that keep most of them. With centre
the directions are those of principal component analysis. An output layer that shares the table shares the
narrow one. Both halves stay trainable, and can be trimmed (trim_vocabulary, before or after) and quantized.
Source: Lan et al. 2020 (ALBERT), section 3.1; Chen et al. 2018 (GroupReduce) for the weights.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step


class Params(Table):
    rank: int | None = Field(default=None, ge=1)
    """Width of the narrow table; give rank or energy."""
    energy: float | None = Field(default=None, gt=0, lt=1)
    """Share of the vectors' energy that stays."""
    weighting: Literal["frequency", "none"] = "frequency"
    """Weight of a token: how often it occurs in `train` and `calibration`, or the same for all ("none")."""
    centre: bool = False
    """Take the directions around the mean vector, which the projection adds."""

    @model_validator(mode="after")
    def _one_choice(self) -> Params:
        if (self.rank is None) == (self.energy is None):
            came = "neither" if self.rank is None else "both"
            raise ValueError(f"{came} came, expected exactly one of rank, energy")
        return self


class FactorizeEmbeddings(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    reads = ("train", "calibration")
    claims = ("smaller", "fewer_parameters")

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows: tokens are counted in the splits that have rows."""
        return ("calibration",)

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The model with a narrow token table."""
        from slimgate.steps.factorize._factorize_embeddings import factorize_embeddings_

        context.log.update(factorize_embeddings_(model, params, context))
        return model


step = FactorizeEmbeddings()
