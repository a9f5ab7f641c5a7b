"""Sets weights to zero and changes the others so that each layer's outputs change least.

    { sparsegpt_prune = { sparsity = 0.5 } }         a share of each matrix
    { sparsegpt_prune = { n = 2, m = 4 } }           at most 2 of every 4 weights along the inputs

It goes over the blocks once, with the activations of the `calibration` rows, and trains nothing. Weights that
were zero stay zero, and later training keeps the zeros. Source: Frantar & Alistarh 2023 (SparseGPT), section
3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from torch import Tensor

    from slimgate.models.torch_model import TorchModel


class Params(Table):
    sparsity: float | None = Field(default=None, gt=0, lt=1)
    """Share of the weights of each matrix that becomes zero; give either sparsity, or n and m."""
    n: int | None = Field(default=None, ge=1)
    """At most this many weights of each group stay; the others become zero."""
    m: int | None = Field(default=None, ge=2, le=64)
    """Number of weights in a group of neighbours along a layer's inputs."""
    block_size: int = Field(default=128, ge=1)
    """Number of columns whose weights are compared with each other."""
    damping: float = Field(default=0.01, gt=0, le=1)
    """Share of the mean of the Hessian's diagonal that is added to the diagonal, so that the Hessian can be
    inverted."""

    @model_validator(mode="after")
    def _check_one_pattern(self) -> Params:
        setting = f"sparsity = {self.sparsity}, n = {self.n}, m = {self.m} were given"
        if (self.n is None) != (self.m is None) or (self.sparsity is None) == (self.n is None):
            raise ValueError(f"{setting}, expected either sparsity, or n and m")
        if self.n is not None and self.m is not None and self.n >= self.m:
            raise ValueError(f"{setting}, expected n below m, such as n = 2, m = 4")
        return self


class SparsegptPrune(Step[Params]):
    reads = ("calibration",)
    claims = ("sparser",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """Prunes the model, block by block. The weights that stay compensate for those that go."""
        from slimgate.models.linear_layers import find_linear_layers, group_by_block
        from slimgate.models.sparsity import note_pruned_layers
        from slimgate.steps.calibration import calibration_batches, compute_second_moments

        layers = find_linear_layers(model)
        batches = calibration_batches(model, context)
        pattern = Pattern(params.sparsity or 0.0, params.n or 0, params.m or 0)
        for group in group_by_block(model, layers):
            moments = compute_second_moments(model, group, batches)
            for name, layer in group.items():
                layer.weight.data = prune_by_sparsegpt(
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


@dataclass(frozen=True)
class Pattern:
    """Which weights go: a share `sparsity` of a matrix; or, with n and m, all but n of every m neighbours."""

    sparsity: float = 0.0
    n: int = 0
    m: int = 0


def prune_by_sparsegpt(
    weight: Tensor, moments: Tensor, *, pattern: Pattern, block_size: int = 128, damping: float = 0.01
) -> Tensor:
    """Prunes a weight by algorithm 1 of the paper. Zeros stay zero.

    H is the matrix `moments`. Removing weight i of a row costs w_i² / [H⁻¹]_ii, and the weights after it
    change to compensate. One upper Cholesky factor of H⁻¹ has the numbers for all columns.

    Args:
        weight: (out_features, in_features).
        moments: (in_features, in_features) the mean of x xᵀ over the inputs x of the layer.
        pattern: which weights become zero.
        block_size: columns whose weights are compared together.
        damping: share of the mean of H's diagonal that is added to the diagonal.

    Returns:
        (out_features, in_features) the pruned weight, in the dtype of `weight`.

    Raises:
        BuildError: if H has no inverse, or m does not divide the columns.
    """
    import torch

    from slimgate.models.sparsity import check_groups
    from slimgate.steps.calibration import compute_inverse_factor

    with torch.no_grad():
        factor = compute_inverse_factor(moments, damping).to(weight.dtype)
        pruned, empty = weight.clone(), weight == 0
        columns = weight.shape[1]
        if pattern.m:
            check_groups(columns, pattern.n, pattern.m)
            block_size = max(block_size // pattern.m, 1) * pattern.m
        for start in range(0, columns, block_size):
            part = slice(start, min(start + block_size, columns))
            errors = _prune_block_(pruned[:, part], factor[part, part], empty[:, part], pattern)
            pruned[:, part.stop :] -= errors @ factor[part, part.stop :]
        return pruned


def _prune_block_(part: Tensor, factor: Tensor, empty: Tensor, pattern: Pattern) -> Tensor:
    """Prunes a block of columns in place, from left to right.

    Returns the errors, (out_features, columns), for which the columns after the block compensate.
    """
    import torch

    from slimgate.models.sparsity import keep_n_of_m, make_keep_masks

    scale = factor.diagonal()
    keep = torch.ones_like(empty)
    if not pattern.m:
        keep = make_keep_masks([_compute_removal_costs(part, scale, empty)], pattern.sparsity, "layer")[0]
    errors = torch.zeros_like(part)
    for column in range(part.shape[1]):
        if pattern.m and column % pattern.m == 0:
            group = slice(column, column + pattern.m)
            scores = _compute_removal_costs(part[:, group], scale[group], empty[:, group])
            keep[:, group] = keep_n_of_m(scores, pattern.n, pattern.m)
        pruned = part[:, column].masked_fill(~keep[:, column] | empty[:, column], 0.0)
        errors[:, column] = (part[:, column] - pruned) / scale[column]
        part[:, column] = pruned
        part[:, column + 1 :] -= torch.outer(errors[:, column], factor[column, column + 1 :])
    return errors


def _compute_removal_costs(part: Tensor, scale: Tensor, empty: Tensor) -> Tensor:
    """The cost of removing each weight, w² / [H⁻¹]_ii; below any cost if the weight is zero already."""
    return (part / scale).square().masked_fill(empty, -1.0)
