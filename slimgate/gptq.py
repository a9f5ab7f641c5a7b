"""Rounding that makes up for its own errors by what a layer receives from real rows.

Frantar et al. 2022 (GPTQ), algorithm 1: the columns of a weight are rounded one after the other, and the
error of each is spread over those not rounded yet, so that the layer's outputs on the calibration rows change
least. The grid of every group is fixed before ("static groups"), so that the columns may go in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slimgate.blocks import encoder_layers
from slimgate.calibration import Batch, watch_inputs
from slimgate.grid_fitting import Observer, fit_grid
from slimgate.sparsity import pruned_layers
from slimgate.weight_grid import Grid, Scheme, dequantize, quantize

# Columns whose updates are gathered before the rest of the matrix is touched; changes only the speed.
_LAZY = 128


@dataclass(frozen=True)
class Rounding:
    """How to round. damping: share of the mean diagonal added to the Hessian's; bias_correction: whether the
    mean change of the outputs is taken off the bias, where there is one (Nagel et al. 2019, section 4.2)."""

    scheme: Scheme
    observer: Observer = "mse"
    damping: float = 0.01
    bias_correction: bool = True


@dataclass(frozen=True)
class Rounded:
    """A layer's levels (rows, columns), their grid, and the errors of its outputs: by rounding to the nearest
    level, and by this."""

    levels: Tensor
    grid: Grid
    nearest_error: float
    error: float


@dataclass
class Inputs:
    """What a layer received: sums of x x' (features, features) and of x (features,) over tokens, float64."""

    products: Tensor
    sums: Tensor
    tokens: int = 0

    @classmethod
    def none(cls, features: int, device: torch.device) -> Inputs:
        """Of no tokens yet."""
        products = torch.zeros(features, features, dtype=torch.float64, device=device)
        return cls(products, torch.zeros(features, dtype=torch.float64, device=device))

    def see(self, tokens: Tensor) -> None:
        """Counts in (tokens, features)."""
        self.products += (tokens.float().T @ tokens.float()).double()
        self.sums += tokens.double().sum(0)
        self.tokens += len(tokens)

    @property
    def mean(self) -> Tensor:
        """(features,) float64."""
        return self.sums / max(self.tokens, 1)

    def hessian(self, *, centred: bool) -> Tensor:
        """Mean of x x', or of (x - mean) (x - mean)': (features, features) float64."""
        products = self.products / max(self.tokens, 1)
        return products - torch.outer(self.mean, self.mean) if centred else products


def compensate_(
    model: Any,
    layers: Mapping[str, nn.Linear],
    batches: list[Batch],
    rounding: Rounding,
    progress: Callable[[str, int, int], None],
) -> dict[str, Rounded]:
    """Rounds the layers in place, a block on what the blocks before it, already rounded, hand on.

    Zeros that an earlier step has pruned stay.
    """
    done: dict[str, Rounded] = {}
    pruned = pruned_layers(model)
    for stage in stages(model.network, layers):
        for name, inputs in inputs_of(model, stage, batches).items():
            done[name] = _round_(layers[name], inputs, rounding, keep_zeros=name in pruned)
        progress("gptq", len(done), len(layers))
    return done


def _round_(layer: nn.Linear, inputs: Inputs, rounding: Rounding, *, keep_zeros: bool) -> Rounded:
    corrected = rounding.bias_correction and layer.bias is not None
    hessian, weight = inputs.hessian(centred=corrected), layer.weight.detach().clone()
    grid = fit_grid(
        weight, rounding.scheme, observer=rounding.observer, importance=hessian.diagonal().clamp(min=0)
    )
    levels = round_with_compensation(
        weight, grid, hessian, damping=rounding.damping, keep_zeros=keep_zeros
    )
    rounded, nearest = dequantize(levels, grid), dequantize(quantize(weight, grid), grid)
    layer.weight.data.copy_(rounded)
    if corrected:
        layer.bias.data += ((weight - rounded).double() @ inputs.mean).to(layer.bias.dtype)
    errors = (output_error(weight, each, hessian) for each in (nearest, rounded))
    return Rounded(levels, grid, *errors)


def mean_errors(rounded: Mapping[str, Rounded]) -> dict[str, float]:
    """Means over the layers, for the log."""
    count = max(1, len(rounded))
    return {
        "output_error_of_nearest": round(sum(each.nearest_error for each in rounded.values()) / count, 5),
        "output_error": round(sum(each.error for each in rounded.values()) / count, 5),
    }


def round_with_compensation(
    weight: Tensor, grid: Grid, hessian: Tensor, *, damping: float, keep_zeros: bool = False
) -> Tensor:
    """Levels of a weight (rows, columns) on a grid, uint8.

    hessian: (columns, columns), the mean of x x'; damping: share of its mean diagonal added to the diagonal.
    keep_zeros: weights that are 0 make up for nothing, and what they would have to is passed on. Columns go in the order of their diagonal, largest first ("act order").
    """
    rows, columns = weight.shape
    order = hessian.diagonal().argsort(descending=True, stable=True)
    left = weight.detach().float()[:, order]
    empty = (left == 0) & keep_zeros
    scale, zero_point = (
        _by_column(grid, part, rows, columns)[:, order] for part in (grid.scale, grid.zero_point)
    )
    spread = _spread(hessian[order][:, order], damping).float()
    levels = torch.empty_like(left)
    for start in range(0, columns, _LAZY):
        end = min(start + _LAZY, columns)
        errors = torch.empty_like(left[:, start:end])
        for column in range(start, end):
            step, zero = scale[:, column], zero_point[:, column]
            wanted = left[:, column].masked_fill(empty[:, column], 0.0)
            levels[:, column] = (wanted / step).round_().add_(zero).clamp_(0, grid.scheme.top)
            error = (left[:, column] - (levels[:, column] - zero) * step) / spread[column, column]
            left[:, column + 1 : end] -= torch.outer(error, spread[column, column + 1 : end])
            errors[:, column - start] = error
        left[:, end:] -= errors @ spread[start:end, end:]
    return levels[:, order.argsort()].to(torch.uint8)


def _by_column(grid: Grid, values: Tensor, rows: int, columns: int) -> Tensor:
    """Scales or zero points, one for each weight: (rows, columns) float32."""
    shape = grid.scheme.grouped(torch.empty(rows, columns, device=values.device)).shape
    return grid.scheme.ungrouped(values.float().unsqueeze(-1).expand(shape), rows, columns)


def _spread(hessian: Tensor, damping: float) -> Tensor:
    """Upper Cholesky factor of the inverse of the damped hessian: how the error of a column is spread."""
    added = damping * hessian.diagonal().mean()
    identity = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    damped = hessian + (added if added > 0 else 1.0) * identity
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor


def output_error(weight: Tensor, rounded: Tensor, hessian: Tensor) -> float:
    """Mean squared change of the outputs on the calibration rows, as a share of their mean square."""
    original = weight.detach().double()
    lost = original - rounded.double()
    total = float(((original @ hessian) * original).sum())
    return float(((lost @ hessian) * lost).sum()) / total if total > 0 else 0.0


def stages(network: nn.Module, layers: Mapping[str, nn.Linear]) -> Iterator[dict[str, nn.Linear]]:
    """The layers block by block, in the network's order; those outside the blocks one by one."""
    blocks = encoder_layers(network)
    owner = {id(m): str(number) for number, block in enumerate(blocks) for m in block.modules()}
    found: dict[str, dict[str, nn.Linear]] = {}
    for name, layer in layers.items():
        found.setdefault(owner.get(id(layer), name), {})[name] = layer
    yield from found.values()


def inputs_of(model: Any, layers: Mapping[str, nn.Linear], batches: list[Batch]) -> dict[str, Inputs]:
    """What each layer receives from the batches, in the network as it is now."""
    seen = {name: Inputs.none(layer.in_features, layer.weight.device) for name, layer in layers.items()}
    watch_inputs(model, layers, batches, lambda name, tokens: seen[name].see(tokens))
    return seen
