"""Rounding that compensates its own errors, from a layer's inputs on real rows.

Frantar et al. 2022 (GPTQ), algorithm 1: the columns of a weight are rounded one after the other. The error of
each column is spread over the columns that are not rounded yet, so that the layer's outputs on the
calibration rows change as little as possible. The grid of every group is fixed before ("static groups"), so
that the columns may be in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from slimgate.models.linear_layers import find_token_embeddings, group_by_block
from slimgate.models.sparsity import list_pruned_layers
from slimgate.steps.calibration import Batch, Moments, compute_input_moments, compute_inverse_factor
from slimgate.steps.layers.grid import Grid, Observer, Scheme, dequantize, fit_grid, quantize

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

# The errors of this many columns are gathered before the columns behind them change. It affects only speed.
_COLUMNS_AT_ONCE = 128


@dataclass(frozen=True)
class Rounding:
    """How to round. damping: the share of the mean of the Hessian's diagonal that is added to the diagonal.

    bias_correction: whether to subtract the mean change of the outputs from the bias, if there is one (Nagel
    et al. 2019, section 4.2).
    """

    scheme: Scheme
    observer: Observer = "mse"
    damping: float = 0.01
    bias_correction: bool = True


@dataclass(frozen=True)
class RoundedLayer:
    """The rounded weight of a layer. levels: (rows, columns) on the grid.

    nearest_error, error: the errors of the layer's outputs, with rounding to the nearest level and with this
    rounding.
    """

    levels: Tensor
    grid: Grid
    nearest_error: float
    error: float


@contextmanager
def with_rounded_tables(model: TorchModel, rounded: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, blocks see the rounded values of token tables. Afterwards all tables are as before.

    rounded: name of a table -> values. Inside, no table shares its weight with an output layer: the layer
    does not get the table's values, and the table is not rounded with the layer.
    """
    tables = find_token_embeddings(model.network)
    weights = {name: (table.weight, table.weight.detach().clone()) for name, table in tables.items()}
    for name, (_, values) in weights.items():
        tables[name].weight = nn.Parameter(rounded.get(name, values).to(values), requires_grad=False)
    try:
        yield
    finally:
        for name, (weight, values) in weights.items():
            weight.data.copy_(values)
            tables[name].weight = weight


def compensate_(
    model: TorchModel,
    layers: Mapping[str, nn.Linear],
    batches: list[Batch],
    rounding: Rounding,
    progress: Callable[[str, int, int], None],
) -> dict[str, RoundedLayer]:
    """Rounds the layers in place, block by block on the outputs of the rounded blocks before.

    Zeros that an earlier step has pruned stay.
    """
    rounded: dict[str, RoundedLayer] = {}
    pruned = list_pruned_layers(model)
    for group in group_by_block(model, layers):
        for name, inputs in compute_input_moments(model, group, batches).items():
            rounded[name] = _round_(layers[name], inputs, rounding, keep_zeros=name in pruned)
        progress("gptq", len(rounded), len(layers))
    return rounded


def _round_(layer: nn.Linear, inputs: Moments, rounding: Rounding, *, keep_zeros: bool) -> RoundedLayer:
    """Rounds a layer in place. A corrected bias takes up the mean change, so only the covariance counts."""
    corrected = rounding.bias_correction and layer.bias is not None
    hessian = inputs.covariance if corrected else inputs.second_moment
    weight = layer.weight.detach().clone()
    grid = fit_grid(
        weight, rounding.scheme, observer=rounding.observer, importance=hessian.diagonal().clamp(min=0)
    )
    levels = round_with_compensation(weight, grid, hessian, damping=rounding.damping, keep_zeros=keep_zeros)
    rounded, nearest = dequantize(levels, grid), dequantize(quantize(weight, grid), grid)
    layer.weight.data.copy_(rounded)
    if corrected:
        layer.bias.data += ((weight - rounded).double() @ inputs.mean).to(layer.bias.dtype)
    return RoundedLayer(
        levels,
        grid,
        nearest_error=compute_output_error(weight, nearest, hessian),
        error=compute_output_error(weight, rounded, hessian),
    )


def compute_mean_errors(rounded: Mapping[str, RoundedLayer]) -> dict[str, float]:
    """The means of both errors over the layers, for the log."""
    count = max(1, len(rounded))
    return {
        "output_error_of_nearest": round(sum(layer.nearest_error for layer in rounded.values()) / count, 5),
        "output_error": round(sum(layer.error for layer in rounded.values()) / count, 5),
    }


def round_with_compensation(
    weight: Tensor, grid: Grid, hessian: Tensor, *, damping: float, keep_zeros: bool = False
) -> Tensor:
    """Levels of a weight (rows, columns) on a grid, uint8.

    hessian: (columns, columns), the mean of x x'. damping: as in Rounding. keep_zeros: weights that are 0
    compensate nothing, and their share is passed on. Columns go in the order of the Hessian's diagonal,
    largest first ("act order"). Raises BuildError if the Hessian cannot be inverted.
    """
    rows, columns = weight.shape
    order = hessian.diagonal().argsort(descending=True, stable=True)
    adjusted = weight.detach().float()[:, order]  # each column minus the errors that it compensates
    empty = (adjusted == 0) & keep_zeros
    scale, zero_point = (
        _expand_to_columns(grid, part, rows, columns)[:, order] for part in (grid.scale, grid.zero_point)
    )
    spread = compute_inverse_factor(hessian[order][:, order], damping).float()  # of a column's error
    levels = torch.empty_like(adjusted)
    for start in range(0, columns, _COLUMNS_AT_ONCE):
        end = min(start + _COLUMNS_AT_ONCE, columns)
        errors = torch.empty_like(adjusted[:, start:end])
        for column in range(start, end):
            step, zero = scale[:, column], zero_point[:, column]
            weights = adjusted[:, column].masked_fill(empty[:, column], 0.0)
            levels[:, column] = (weights / step).round_().add_(zero).clamp_(0, grid.scheme.top)
            error = (adjusted[:, column] - (levels[:, column] - zero) * step) / spread[column, column]
            adjusted[:, column + 1 : end] -= torch.outer(error, spread[column, column + 1 : end])
            errors[:, column - start] = error
        adjusted[:, end:] -= errors @ spread[start:end, end:]
    return levels[:, order.argsort()].to(torch.uint8)


def _expand_to_columns(grid: Grid, values: Tensor, rows: int, columns: int) -> Tensor:
    """Scales or zero points, one for each weight: (rows, columns) float32."""
    shape = grid.scheme.to_groups(torch.empty(rows, columns, device=values.device)).shape
    return grid.scheme.from_groups(values.float().unsqueeze(-1).expand(shape), rows, columns)


def compute_output_error(weight: Tensor, rounded: Tensor, hessian: Tensor) -> float:
    """Mean squared change of the outputs on the calibration rows, as a share of their mean square."""
    original = weight.detach().double()
    change = original - rounded.double()
    total = float(((original @ hessian) * original).sum())
    return float(((change @ hessian) * change).sum()) / total if total > 0 else 0.0
