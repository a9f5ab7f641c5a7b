"""Movement pruning: masks that keep the weights with the highest scores. Training learns the scores too.

A score rises when its weight moves away from zero: the gradient of the mask goes straight through to it
(Sanh et al. 2020, section 4). One score may stand for a block of weights (Lagunas et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from slimgate.steps.prune._gradual_params import compute_cubic_sparsity, compute_pruning_progress

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

Shape = tuple[int, int]
# A threshold below every finite score. Weights that are pruned already have the score -inf, which is lower.
_NO_THRESHOLD = torch.finfo(torch.float32).min


class MaskedWeight(nn.Module):
    """The parametrization that sets a weight (out, in) to zero except in blocks with high scores.

    scores: (blocks of rows, blocks of columns); the last of each may be cut.
    """

    def __init__(
        self, weight: Tensor, block: Shape, *, magnitude: bool = False, pruned: bool = False
    ) -> None:
        """magnitude: a score starts as the mean |weight| of its block over that of the matrix, else at 0.

        pruned: an earlier step set weights to zero; blocks with only zeros are then the first to be pruned.
        """
        super().__init__()
        self.shape, self.block = weight.shape, block
        self.threshold = _NO_THRESHOLD
        sizes = sum_blocks(torch.ones_like(weight), block)
        sums = sum_blocks(weight.abs(), block)
        start = sums / sizes / weight.abs().mean() if magnitude else torch.zeros_like(sums)
        self.scores = nn.Parameter(torch.where(sums > 0, start, -math.inf) if pruned else start)

    def forward(self, weight: Tensor) -> Tensor:
        masked: Tensor = _Threshold.apply(self.scores, self.threshold)  # type: ignore[no-untyped-call]
        return weight * spread(masked, self.block, self.shape)

    @property
    def area(self) -> int | None:
        """The number of weights in a block; None if some blocks are cut."""
        even = not any(size % side for size, side in zip(self.shape, self.block, strict=True))
        return self.block[0] * self.block[1] if even else None

    def count_block_weights(self) -> Tensor:
        """Weights of each block: as scores, int64."""
        ones_like_weight = torch.ones(self.shape, dtype=torch.int64, device=self.scores.device)
        return sum_blocks(ones_like_weight, self.block)


class _Threshold(torch.autograd.Function):
    """1 for the scores at or above the threshold, else 0; the gradient passes as if it were the score."""

    @staticmethod
    def forward(ctx: FunctionCtx, scores: Tensor, threshold: float) -> Tensor:  # noqa: ARG004
        return (scores >= threshold).to(scores.dtype)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradients[0], None


def spread(values: Tensor, block: Shape, shape: Sequence[int]) -> Tensor:
    """Values of blocks (rows, columns) -> one for each weight of `shape` (out, in)."""
    if block == (1, 1):
        return values
    wide = values.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    return wide[: shape[0], : shape[1]]


def sum_blocks(values: Tensor, block: Shape) -> Tensor:
    """(out, in) -> the sum in each block (rows, columns), the last of which may be smaller."""
    out, into = values.shape
    padded = nn.functional.pad(values, (0, -into % block[1], 0, -out % block[0]))
    rows, columns = padded.shape[0] // block[0], padded.shape[1] // block[1]
    return padded.view(rows, block[0], columns, block[1]).sum((1, 3))


class MovementSchedule:
    """The hook that raises the sparsity step by step: it sets each weight's threshold.

    groups: masks whose scores are ranked together.
    """

    def __init__(
        self, groups: Sequence[Sequence[MaskedWeight]], sparsity: float, *, warm_up: float, cool_down: float
    ) -> None:
        self._groups, self._sparsity = groups, sparsity
        self._warm_up, self._cool_down = warm_up, cool_down
        self.settled = False

    def before_step(self, step: int, steps: int) -> None:
        progress = compute_pruning_progress(step, steps, warm_up=self._warm_up, cool_down=self._cool_down)
        sparsity = compute_cubic_sparsity(self._sparsity, progress)
        self.settled = progress == 1
        for group in self._groups:
            threshold = _find_threshold(group, sparsity)
            for mask in group:
                mask.threshold = threshold

    def after_step(self, step: int, steps: int) -> None:
        """Does nothing: thresholds are set before each step."""


def compute_final_masks(group: Sequence[MaskedWeight], sparsity: float) -> list[Tensor]:
    """The final masks, (out, in) bool each. They prune the lowest scores, as many blocks as training did."""
    scores = _join_scores(group)
    order = torch.argsort(scores, stable=True)
    keep_mask = torch.ones_like(scores, dtype=torch.bool)
    keep_mask[order[: _count_pruned(group, order, sparsity)]] = False
    parts = torch.split(keep_mask, [mask.scores.numel() for mask in group])
    return [
        spread(part.view_as(mask.scores), mask.block, mask.shape)
        for part, mask in zip(parts, group, strict=True)
    ]


@contextmanager
def with_masks(layers: Mapping[str, nn.Linear], masks: Sequence[MaskedWeight]) -> Iterator[None]:
    """Inside, the layers compute with masked weights; afterwards with their original weights."""
    for layer, mask in zip(layers.values(), masks, strict=True):
        parametrize.register_parametrization(layer, "weight", mask)
    try:
        yield
    finally:
        for layer in layers.values():
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def _find_threshold(group: Sequence[MaskedWeight], sparsity: float) -> float:
    """The lowest score that is kept."""
    scores = _join_scores(group)
    # blocks of one size need no sorting, which is slow
    order = None if _have_one_size(group) else torch.argsort(scores, stable=True)
    count = _count_pruned(group, order, sparsity)
    lowest = torch.kthvalue(scores, count + 1).values if order is None else scores[order[count]]
    return max(float(lowest), _NO_THRESHOLD)


def _count_pruned(group: Sequence[MaskedWeight], order: Tensor | None, sparsity: float) -> int:
    """How many blocks are pruned, so that the share of pruned weights is nearest to `sparsity`.

    At least one block is kept.

    order: of the blocks, lowest scores first; None if all have one size.
    """
    if _have_one_size(group):
        blocks = sum(mask.scores.numel() for mask in group)
        return min(round(sparsity * blocks), blocks - 1)
    sizes = torch.cat([mask.count_block_weights().flatten() for mask in group])[order]
    count = int((torch.cumsum(sizes, 0) - sizes / 2 <= sparsity * int(sizes.sum())).sum())
    return min(count, len(sizes) - 1)


def _have_one_size(group: Sequence[MaskedWeight]) -> bool:
    """Whether all blocks have the same number of weights."""
    return group[0].area is not None and len({mask.area for mask in group}) == 1


def _join_scores(group: Sequence[MaskedWeight]) -> Tensor:
    return torch.cat([mask.scores.detach().flatten() for mask in group])
