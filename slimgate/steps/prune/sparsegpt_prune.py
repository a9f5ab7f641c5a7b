"""Sets weights to zero and moves the others so that each layer's outputs change least.

    { sparsegpt_prune = { sparsity = 0.5 } }         a share of each matrix
    { sparsegpt_prune = { n = 2, m = 4 } }           at most 2 of every 4 weights along the inputs

One pass over the blocks, on the activations of the `calibration` rows; nothing is trained. Weights that were
zero stay so, and later training keeps the zeros. Source: Frantar & Alistarh 2023 (SparseGPT), section 3.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step


class Params(Table):
    sparsity: float | None = Field(default=None, gt=0, lt=1)
    """Share of each matrix that becomes zero; give sparsity, or n and m."""
    n: int | None = Field(default=None, ge=1)
    """Weights that stay in each group, at most."""
    m: int | None = Field(default=None, ge=2, le=64)
    """Weights of a group, which follow each other along a layer's inputs."""
    block_size: int = Field(default=128, ge=1)
    """Columns whose weights are compared together."""
    damping: float = Field(default=0.01, gt=0, le=1)
    """Share of the mean squared input that is added to each input's, so that the moments can be inverted."""

    @model_validator(mode="after")
    def _one_pattern(self) -> Params:
        setting = f"sparsity = {self.sparsity}, n = {self.n}, m = {self.m} came"
        if (self.n is None) != (self.m is None) or (self.sparsity is None) == (self.n is None):
            raise ValueError(f"{setting}, expected either sparsity, or n and m")
        if self.n is not None and self.m is not None and self.n >= self.m:
            raise ValueError(f"{setting}, expected n below m, such as n = 2, m = 4")
        return self


class SparsegptPrune(Step[Params]):
    reads = ("calibration",)
    claims = ("sparser",)

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The model with sparse weights that make up for those that are gone."""
        from slimgate.models.linear_layers import by_block, linear_layers
        from slimgate.models.sparsity import note_pruned_layers
        from slimgate.steps.calibration import calibration_batches, second_moments
        from slimgate.steps.prune._sparsegpt_prune import Pattern, sparsegpt

        layers = linear_layers(model)
        batches = calibration_batches(model, context)
        pattern = Pattern(params.sparsity or 0.0, params.n or 0, params.m or 0)
        for group in by_block(model, layers):
            moments = second_moments(model, group, batches)
            for name, layer in group.items():
                layer.weight.data = sparsegpt(
                    layer.weight.data,
                    moments[name],
                    pattern=pattern,
                    block_size=params.block_size,
                    damping=params.damping,
                )
        context.log.update(note_pruned_layers(model, "sparsegpt_prune", layers))
        if params.m:
            context.log["pattern"] = f"{params.n}:{params.m}"
        return model


step = SparsegptPrune()
