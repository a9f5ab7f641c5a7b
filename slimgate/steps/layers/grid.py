"""The values that a weight quantized to k bits may take.

    grid = fit_grid(weight, Scheme(bits=4))
    levels = quantize(weight, grid)                # (rows, columns) uint8, below 16
    dequantize(levels, grid)                       # (level - zero point) * scale, float32

A scale holds for a group of neighbours in a row, for a row (an output channel) or for the whole matrix. 0 is
always a value of the grid, so that pruned weights stay zero. In a symmetric grid the zero point is the middle
level, and a scale may be negative: then the wider side of the levels -8 .. 7 serves positive weights.

An observer chooses scales and zero points for a matrix. "minmax": the grid reaches from the smallest to the
largest weight of each group; in a symmetric grid the weight of largest magnitude is the outermost level.
"mse": among grids that clip more and more, the one with the least squared error, for each group separately,
weighted by the importance of the columns if that is known. A matrix whose values already lie on such a grid
(as after quantization-aware training) gets that grid with either observer, so that nothing is lost.

Scales are float16 if the largest of them is a normal number there, and all errors are computed with the
stored scales.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from slimgate.errors import BuildError

Granularity = Literal["group", "channel", "tensor"]
Observer = Literal["minmax", "mse"]
_Pair = tuple[Tensor, Tensor]

# As many weights as a core's cache holds, because the search reads them about fifty times.
_CHUNK = 2**17
_CLIPPED_TO = torch.linspace(0.3, 1.0, 36).tolist()
_FLOAT16_NORMAL = 2.0**-14
_FLOAT16_SMALLEST = 2.0**-24
_FLOAT16_LARGEST = 65504.0


@dataclass(frozen=True)
class Scheme:
    """Form of a grid. group_size: weights that share a scale; other granularities do not use it."""

    bits: int
    granularity: Granularity = "group"
    group_size: int = 64
    symmetric: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8 or self.group_size < 1:
            raise BuildError(
                f"bits = {self.bits}, group_size = {self.group_size} were given, expected 2 to 8 bits and a "
                "group_size of at least 1"
            )

    @property
    def top(self) -> int:
        """The highest level; the lowest is 0."""
        return int(2**self.bits) - 1

    @property
    def middle(self) -> int:
        """The zero point of a symmetric grid."""
        return int(2 ** (self.bits - 1))

    def compute_scale_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Shape of the scales, and of the zero points, of a matrix (rows, columns)."""
        if self.granularity == "tensor":
            return 1, 1
        return rows, -(-columns // self._choose_width(columns))

    def to_groups(self, weight: Tensor) -> Tensor:
        """(rows, columns) -> (*scale_shape, weights that share a scale); the last group is filled with 0."""
        if self.granularity == "tensor":
            return weight.reshape(1, 1, -1)
        rows, columns = weight.shape
        width = self._choose_width(columns)
        return functional.pad(weight, (0, -columns % width)).view(rows, -1, width)

    def from_groups(self, groups: Tensor, rows: int, columns: int) -> Tensor:
        """The matrix that `to_groups` got, without gaps in memory, which safetensors does not save."""
        if self.granularity == "tensor":
            return groups.reshape(rows, columns)
        return groups.reshape(rows, -1)[:, :columns].contiguous()

    def _choose_width(self, columns: int) -> int:
        return min(self.group_size, columns) if self.granularity == "group" else columns


@dataclass(frozen=True)
class Grid:
    """A scheme with the scales and zero points of a weight.

    scale: scheme.scale_shape, float16 or float32; zero_point: the same shape, levels as uint8.
    """

    scheme: Scheme
    scale: Tensor
    zero_point: Tensor


def quantize(weight: Tensor, grid: Grid) -> Tensor:
    """The nearest levels of a matrix: (rows, columns) uint8."""
    rows, columns = weight.shape
    levels = _round_to_levels(grid.scheme.to_groups(weight.float()), grid.scale, grid.zero_point, grid.scheme)
    return grid.scheme.from_groups(levels, rows, columns).to(torch.uint8)


def dequantize(levels: Tensor, grid: Grid) -> Tensor:
    """The values of levels: (rows, columns) float32, exact products if scales are float16."""
    rows, columns = levels.shape
    values = compute_values(grid.scheme.to_groups(levels).float(), grid.scale, grid.zero_point)
    return grid.scheme.from_groups(values, rows, columns)


def _round_to_levels(groups: Tensor, scale: Tensor, zero_point: Tensor, scheme: Scheme) -> Tensor:
    """The nearest levels, as floats, of grouped weights."""
    levels = (groups / scale.float().unsqueeze(-1)).round_()
    return levels.add_(zero_point.float().unsqueeze(-1)).clamp_(0, scheme.top)


def compute_values(levels: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Values of grouped levels."""
    return (levels - zero_point.float().unsqueeze(-1)).mul_(scale.float().unsqueeze(-1))


@torch.no_grad()
def fit_grid(
    weight: Tensor, scheme: Scheme, *, observer: Observer = "mse", importance: Tensor | None = None
) -> Grid:
    """The grid for a matrix (rows, columns).

    importance: (columns,), how much a squared error in each column counts, such as the mean square of the
    column's inputs. Raises BuildError if a weight is not finite.
    """
    weight = weight.detach().float()
    if not torch.isfinite(weight).all():
        raise BuildError(f"fit_grid: {tuple(weight.shape)} holds NaN or infinity, expected finite values")
    groups = scheme.to_groups(weight)
    grid = _find_exact_grid(groups, scheme)
    if grid is None:
        dtype = _choose_scale_dtype(_fit_minmax(groups, scheme)[0])
        if importance is not None:
            importance = scheme.to_groups(importance.float().expand_as(weight))
        parts = [
            _fit(part, scheme, observer, dtype, None if importance is None else importance[rows])
            for rows, part in _split_chunks(groups)
        ]
        grid = torch.cat([scale for scale, _ in parts]), torch.cat([zero for _, zero in parts])
    return Grid(scheme, grid[0], grid[1].to(torch.uint8))


def _split_chunks(groups: Tensor) -> Iterator[tuple[slice, Tensor]]:
    rows = max(1, _CHUNK // groups[0].numel())
    for start in range(0, len(groups), rows):
        yield slice(start, start + rows), groups[start : start + rows]


def _fit(
    groups: Tensor, scheme: Scheme, observer: Observer, dtype: torch.dtype, importance: Tensor | None
) -> _Pair:
    best = _round_to_stored(_fit_minmax(groups, scheme), dtype)
    if observer == "minmax":
        return best
    least = _compute_grid_error(groups, best, scheme, importance)
    for candidate in _list_candidate_grids(groups, scheme):
        pair = _round_to_stored(candidate, dtype)
        error = _compute_grid_error(groups, pair, scheme, importance)
        better = error < least
        least = torch.where(better, error, least)
        best = torch.where(better, pair[0], best[0]), torch.where(better, pair[1], best[1])
    return best


def _fit_minmax(groups: Tensor, scheme: Scheme) -> _Pair:
    high, low = groups.amax(-1).clamp(min=0), groups.amin(-1).clamp(max=0)
    if not scheme.symmetric:
        return _fit_affine(low, high, scheme)
    extreme = torch.where(high >= -low, high, low)
    return _replace_zero_scales(extreme / -scheme.middle), torch.full_like(extreme, scheme.middle)


def _fit_affine(low: Tensor, high: Tensor, scheme: Scheme) -> _Pair:
    scale = _replace_zero_scales((high - low) / scheme.top)
    return scale, (-low / scale).round()


def _list_candidate_grids(groups: Tensor, scheme: Scheme) -> Iterator[_Pair]:
    """Narrower grids; for symmetric ones also grids whose short side reaches the extreme, and both signs."""
    if not scheme.symmetric:
        high, low = groups.amax(-1).clamp(min=0), groups.amin(-1).clamp(max=0)
        yield from (_fit_affine(low * share, high * share, scheme) for share in _CLIPPED_TO)
        return
    scale, zero_point = _fit_minmax(groups, scheme)
    widest = scheme.middle / (scheme.middle - 1)
    for share in _CLIPPED_TO:
        yield scale * share * widest, zero_point
        yield scale * -share * widest, zero_point


def _compute_grid_error(groups: Tensor, pair: _Pair, scheme: Scheme, importance: Tensor | None) -> Tensor:
    squares = compute_values(_round_to_levels(groups, *pair, scheme), *pair).sub_(groups).square_()
    return (squares if importance is None else squares.mul_(importance)).sum(-1)


def _choose_scale_dtype(scale: Tensor) -> torch.dtype:
    used = scale[scale != 1].abs()
    fits = not len(used) or _FLOAT16_NORMAL <= float(used.max()) <= _FLOAT16_LARGEST / 4
    return torch.float16 if fits else torch.float32


def _round_to_stored(pair: _Pair, dtype: torch.dtype) -> _Pair:
    """The pair as it will be saved; a scale too small for float16 becomes the smallest number of its sign."""
    scale = pair[0].to(dtype)
    smallest = torch.full_like(pair[0], _FLOAT16_SMALLEST).copysign(pair[0]).to(dtype)
    return torch.where(scale == 0, smallest, scale), pair[1]


def _replace_zero_scales(scale: Tensor) -> Tensor:
    """The scales, with 1 for groups of zeros, and of numbers too small to divide by."""
    return torch.where(scale.abs() < torch.finfo(torch.float32).tiny, 1.0, scale)


def _find_exact_grid(groups: Tensor, scheme: Scheme) -> _Pair | None:
    """The grid on which all values lie exactly, with float16 scales; None if there is none."""
    flat = groups.reshape(-1, groups.shape[-1])
    if not _is_on_grid(flat[flat.abs().amax(-1).argmax()], scheme):
        return None
    scale = torch.ones(len(flat), dtype=torch.float16, device=flat.device)
    zero_point = torch.full((len(flat),), float(scheme.middle), device=flat.device)
    remaining = flat.any(-1).nonzero().flatten()
    for divisor in _list_divisors(scheme).tolist():
        steps = _compute_smallest_gap(flat[remaining]) / divisor
        pair, is_exact = _fit_steps(flat[remaining], scheme, steps)
        solved = remaining[is_exact]
        scale[solved], zero_point[solved] = pair[0][is_exact], pair[1][is_exact]
        remaining = remaining[~is_exact]
        if not len(remaining):
            shape = groups.shape[:-1]
            return scale.view(shape), zero_point.view(shape)
    return None


def _is_on_grid(group: Tensor, scheme: Scheme) -> bool:
    values = torch.unique(group)  # a whole matrix may have millions of values, but a grid has few
    if len(values) > scheme.top + 1:
        return False
    steps = _compute_smallest_gap(values[None]) / _list_divisors(scheme).to(group.device)
    return bool(_fit_steps(values.expand(len(steps), -1), scheme, steps)[1].any())


def _list_divisors(scheme: Scheme) -> Tensor:
    """The divisors to try: a group's smallest gap, 0 included, is one of these multiples of its step."""
    counts = torch.arange(1.0, scheme.top + 1)
    return torch.stack([counts, -counts], dim=1).flatten() if scheme.symmetric else counts


def _fit_steps(flat: Tensor, scheme: Scheme, steps: Tensor) -> tuple[_Pair, Tensor]:
    """The grids with these steps, and whether the values of each group (groups, width) are exactly theirs."""
    scale = steps.to(torch.float16)
    zero_point = torch.full_like(steps, scheme.middle)
    if not scheme.symmetric:
        zero_point = (-flat.amin(-1) / scale.float()).round().clamp(0, scheme.top)
    levels = _round_to_levels(flat, scale, zero_point, scheme)
    is_exact = (compute_values(levels, scale, zero_point) == flat).all(-1)
    return (scale, zero_point), is_exact


def _compute_smallest_gap(flat: Tensor) -> Tensor:
    with_zero = torch.cat([flat, torch.zeros_like(flat[:, :1])], dim=1)
    gaps = with_zero.sort(dim=-1).values.diff(dim=-1)
    return torch.where(gaps > 0, gaps, torch.inf).amin(-1)
