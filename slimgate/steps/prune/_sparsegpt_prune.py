"""Pruning that moves the weights which stay, so that the layer's outputs change least.

SparseGPT: Frantar & Alistarh 2023, section 3 and algorithm 1. With H the second moments of the inputs, weight
i of a row costs w_i² / [H⁻¹]_ii when it goes, and the weights after it make up for it; one upper Cholesky
factor of H⁻¹ holds what every column needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from slimgate.models.sparsity import check_groups, keep_masks, keep_n_of_m
from slimgate.steps.calibration import inverse_factor


@dataclass(frozen=True)
class Pattern:
    """What goes: a share `sparsity` of a matrix, or, where n and m are given, all but n of every m inputs."""

    sparsity: float = 0.0
    n: int = 0
    m: int = 0


@torch.no_grad()
def sparsegpt(
    weight: Tensor, moments: Tensor, *, pattern: Pattern, block_size: int = 128, damping: float = 0.01
) -> Tensor:
    """The pruned weight: (out_features, in_features), in its dtype.

    moments: mean of x xᵀ (in_features, in_features). block_size: columns whose weights are compared at once.
    damping: share of the mean diagonal that is added to it. Zeros stay zero.
    """
    factor = inverse_factor(moments, damping).to(weight.dtype)
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
    """Prunes a block of columns in place, left to right; gives the errors that later columns make up for."""
    scale = factor.diagonal()
    keep = torch.ones_like(empty)
    if not pattern.m:
        keep = keep_masks([_scores(part, scale, empty)], pattern.sparsity, "layer")[0]
    errors = torch.zeros_like(part)
    for column in range(part.shape[1]):
        if pattern.m and column % pattern.m == 0:
            group = slice(column, column + pattern.m)
            scores = _scores(part[:, group], scale[group], empty[:, group])
            keep[:, group] = keep_n_of_m(scores, pattern.n, pattern.m)
        pruned = part[:, column].masked_fill(~keep[:, column] | empty[:, column], 0.0)
        errors[:, column] = (part[:, column] - pruned) / scale[column]
        part[:, column] = pruned
        part[:, column + 1 :] -= torch.outer(errors[:, column], factor[column, column + 1 :])
    return errors


def _scores(part: Tensor, scale: Tensor, empty: Tensor) -> Tensor:
    return (part / scale).square().masked_fill(empty, -1.0)
