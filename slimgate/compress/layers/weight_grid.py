"""The values that a weight quantized to k bits may take.

    grid = fit_grid(weight, Scheme(bits=4))        # slimgate/compress/layers/grid_fitting.py
    levels = quantize(weight, grid)                # (rows, columns) uint8, below 16
    dequantize(levels, grid)                       # (level - zero point) * scale, float32

A scale holds for a group of neighbours in a row, for a row (an output channel) or for the whole matrix. 0 is
always a value of the grid, so that pruned weights stay zero. In a symmetric grid the zero point is the middle
level, and a scale may be negative: of the levels -8 .. 7 the wider side then serves positive weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from slimgate.errors import BuildError

Granularity = Literal["group", "channel", "tensor"]


@dataclass(frozen=True)
class Scheme:
    """Form of a grid. group_size: weights that share a scale; other granularities do not use it."""

    bits: int
    granularity: Granularity = "group"
    group_size: int = 64
    symmetric: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8 or self.group_size < 1:
            raise BuildError(f"{self}: expected 2 to 8 bits and a group_size of at least 1")

    @property
    def top(self) -> int:
        """The highest level; the lowest is 0."""
        return int(2**self.bits) - 1

    @property
    def middle(self) -> int:
        """The zero point of a symmetric grid."""
        return int(2 ** (self.bits - 1))

    def scale_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Shape of the scales, and of the zero points, of a matrix (rows, columns)."""
        if self.granularity == "tensor":
            return 1, 1
        return rows, -(-columns // self._width(columns))

    def grouped(self, weight: Tensor) -> Tensor:
        """(rows, columns) -> (*scale_shape, weights that share a scale); the last group is filled with 0."""
        if self.granularity == "tensor":
            return weight.reshape(1, 1, -1)
        rows, columns = weight.shape
        width = self._width(columns)
        return functional.pad(weight, (0, -columns % width)).view(rows, -1, width)

    def ungrouped(self, groups: Tensor, rows: int, columns: int) -> Tensor:
        """What `grouped` was given."""
        if self.granularity == "tensor":
            return groups.reshape(rows, columns)
        return groups.reshape(rows, -1)[:, :columns]

    def _width(self, columns: int) -> int:
        return min(self.group_size, columns) if self.granularity == "group" else columns


@dataclass(frozen=True)
class Grid:
    """scale: scheme.scale_shape, float16 or float32; zero_point: the same shape, levels as uint8."""

    scheme: Scheme
    scale: Tensor
    zero_point: Tensor


def quantize(weight: Tensor, grid: Grid) -> Tensor:
    """The nearest levels of a matrix: (rows, columns) uint8."""
    rows, columns = weight.shape
    levels = nearest(grid.scheme.grouped(weight.float()), grid.scale, grid.zero_point, grid.scheme)
    return grid.scheme.ungrouped(levels, rows, columns).to(torch.uint8)


def dequantize(levels: Tensor, grid: Grid) -> Tensor:
    """The values of levels: (rows, columns) float32, exact products where scales are float16."""
    rows, columns = levels.shape
    values = value(grid.scheme.grouped(levels).float(), grid.scale, grid.zero_point)
    return grid.scheme.ungrouped(values, rows, columns)


def nearest(groups: Tensor, scale: Tensor, zero_point: Tensor, scheme: Scheme) -> Tensor:
    """Levels, as floats, of grouped weights."""
    levels = (groups / scale.float().unsqueeze(-1)).round_()
    return levels.add_(zero_point.float().unsqueeze(-1)).clamp_(0, scheme.top)


def value(levels: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Values of grouped levels."""
    return (levels - zero_point.float().unsqueeze(-1)).mul_(scale.float().unsqueeze(-1))
