"""Keeps at most n of every m adjacent weights along a layer's inputs: 2:4 sparsity.

    { n_m_prune = { n = 2, m = 4, score = "wanda" } }

Scores of "wanda" are computed block by block. A later training step keeps the zeros. GPUs have sparse kernels
for this pattern; here the layers are computed densely, and sparse_storage makes the artifact
smaller. Error-compensating n:m pruning: sparsegpt_prune.
Sources: Mishra et al. 2021, section 3 ("magnitude"); Sun et al. 2023, section 3 ("wanda").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    n: int = Field(default=2, ge=1)
    """At most this many weights of each group stay; the others become zero."""
    m: int = Field(default=4, ge=2, le=64)
    """Number of weights in a group. A group consists of adjacent weights along a layer's inputs."""
    score: Literal["magnitude", "wanda"] = "magnitude"
    """Which weights are kept: those with the largest |w| ("magnitude"), or with the largest |w| · ‖x‖ on
    `calibration` rows ("wanda")."""

    @model_validator(mode="after")
    def _check_pattern(self) -> Params:
        if self.n >= self.m:
            raise ValueError(
                f"n = {self.n}, m = {self.m} were given, expected n below m, such as n = 2, m = 4"
            )
        return self


class NMPrune(Step[Params]):
    reads = ("calibration",)
    claims = ("sparser",)

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, if only the weights are used."""
        return ("calibration",) if params.score == "magnitude" else ()

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with at least m - n zeros in every group of m weights."""
        from slimgate.models.linear_layers import find_linear_layers, group_by_block
        from slimgate.models.sparsity import keep_n_of_m, note_pruned_layers, zero_
        from slimgate.steps.calibration import calibration_batches, input_norms

        layers = find_linear_layers(model)
        batches = calibration_batches(model, context) if params.score == "wanda" else []
        for group in group_by_block(model, layers):
            norms = input_norms(model, group, batches) if batches else {}
            for name, layer in group.items():
                score = layer.weight.detach().abs()
                if batches:
                    score = score * norms[name].to(score.dtype)
                zero_(layer.weight, keep_n_of_m(score, params.n, params.m))
        context.log.update(note_pruned_layers(model, "n_m_prune", layers), pattern=f"{params.n}:{params.m}")
        return model


step = NMPrune()
