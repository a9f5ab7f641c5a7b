"""Grids of k-bit weights: values by hand, numpy's search, and that a grid is found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slimgate.errors import BuildError
from slimgate.steps.layers import grid
from slimgate.steps.layers.grid import Scheme, dequantize, fit_grid, quantize

SCHEMES = [
    pytest.param(Scheme(bits, granularity, 16, symmetric), id=f"{bits}-{granularity}-{symmetric}")
    for bits in (2, 3, 4, 8)
    for granularity in ("group", "channel", "tensor")
    for symmetric in (True, False)
]


def random_weight(rows: int = 12, columns: int = 40) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(5)) * 0.05


def rounded(weight: Tensor, scheme: Scheme, **options: Any) -> Tensor:
    grid = fit_grid(weight, scheme, **options)
    return dequantize(quantize(weight, grid), grid)


def test_a_symmetric_grid_by_hand() -> None:
    weight = torch.tensor([[-1.0, 0.4, 0.8, 0.1]])
    grid = fit_grid(weight, Scheme(3, "channel"), observer="minmax")
    assert grid.scale.tolist() == [[0.25]]  # -1 is the lowest of the levels -4 .. 3
    assert quantize(weight, grid).tolist() == [[0, 6, 7, 4]]
    assert dequantize(quantize(weight, grid), grid).tolist() == [[-1.0, 0.5, 0.75, 0.0]]


def test_where_the_widest_weight_is_positive_the_scale_is_not() -> None:
    weight = torch.tensor([[1.0, -0.4, -0.8, -0.1]])
    grid = fit_grid(weight, Scheme(3, "channel"), observer="minmax")
    assert grid.scale.tolist() == [[-0.25]]
    assert dequantize(quantize(weight, grid), grid).tolist() == [[1.0, -0.5, -0.75, 0.0]]


def test_an_affine_grid_by_hand() -> None:
    weight = torch.tensor([[-0.5, 1.0, 0.3, 0.0]])
    grid = fit_grid(weight, Scheme(2, "channel", symmetric=False), observer="minmax")
    assert (grid.scale.tolist(), grid.zero_point.tolist()) == ([[0.5]], [[1]])
    assert dequantize(quantize(weight, grid), grid).tolist() == [[-0.5, 1.0, 0.5, 0.0]]


def test_of_weights_all_positive_an_affine_grid_begins_at_zero() -> None:
    grid = fit_grid(torch.tensor([[1.4, 3.0]]), Scheme(2, "channel", symmetric=False), observer="minmax")
    assert (grid.scale.tolist(), grid.zero_point.tolist()) == ([[1.0]], [[0]])


def test_the_last_group_may_be_shorter() -> None:
    grid = fit_grid(random_weight(3, 40), Scheme(4, "group", 16))
    assert grid.scale.shape == (3, 3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_min_max_is_what_numpy_says(scheme: Scheme) -> None:
    weight = random_weight(4, 32)
    groups = {"group": (8, 16), "channel": (4, 32), "tensor": (1, 128)}[scheme.granularity]
    expected = np.empty(groups, dtype=np.float32)
    for number, group in enumerate(weight.numpy().reshape(groups)):
        low, high, top = min(group.min(), 0), max(group.max(), 0), 2**scheme.bits - 1
        zero: Any = 2 ** (scheme.bits - 1)
        scale: Any = (high if high >= -low else low) / np.float32(-zero)
        if not scheme.symmetric:
            scale = np.float32(high - low) / np.float32(top)
            zero = np.round(-low / scale)
        scale = np.float32(np.float16(scale))
        expected[number] = (np.clip(np.round(group / scale) + zero, 0, top) - zero) * scale
    assert np.array_equal(rounded(weight, scheme, observer="minmax"), expected.reshape(4, 32))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_search_never_loses_and_keeps_weights_on_the_grid(scheme: Scheme) -> None:
    weight = random_weight()
    plain, searched = rounded(weight, scheme, observer="minmax"), rounded(weight, scheme)
    assert (searched - weight).square().sum() <= (plain - weight).square().sum()
    assert torch.equal(rounded(searched, scheme), searched)
    assert torch.equal(rounded(searched, scheme, observer="minmax"), searched)


def test_the_search_gains_much_in_two_bits() -> None:
    weight = random_weight(32, 1024)
    plain, searched = (
        float((rounded(weight, Scheme(2, "channel"), observer=o) - weight).square().mean())
        for o in ("minmax", "mse")
    )
    # four evenly spaced levels lose at least 0.119 of a normal number's variance (Max 1960, table I)
    assert 0.119 * 0.05**2 < searched < 0.15 * 0.05**2 < 0.7 * plain


def test_errors_move_to_the_columns_that_do_not_matter() -> None:
    weight, scheme = random_weight(32, 64), Scheme(3, "channel")
    importance = torch.ones(64)
    importance[:8] = 100.0
    plain, weighted = (rounded(weight, scheme, importance=i) - weight for i in (None, importance))
    assert weighted[:, :8].square().sum() < 0.8 * plain[:, :8].square().sum()
    assert weighted.square().sum() > plain.square().sum()


def test_zeros_stay_zero_and_a_group_of_zeros_has_a_scale() -> None:
    weight = random_weight()
    weight[weight.abs() < 0.03] = 0
    weight[2] = 0
    for symmetric in (True, False):
        result = rounded(weight, Scheme(3, "group", 8, symmetric))
        assert (result[weight == 0] == 0).all()


@pytest.mark.parametrize("size", [1e-7, 1e6], ids=["small", "large"])
def test_scales_that_float16_cannot_hold_are_float32(size: float) -> None:
    weight = random_weight() * size
    assert fit_grid(weight, Scheme(4)).scale.dtype == torch.float32
    assert fit_grid(random_weight(), Scheme(4)).scale.dtype == torch.float16
    assert (rounded(weight, Scheme(8)) - weight).norm() < 0.01 * weight.norm()


def test_weights_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(BuildError, match="holds NaN or infinity, expected finite values"):
        fit_grid(torch.tensor([[1.0, float("nan")]]), Scheme(4))


def test_nine_bits_are_an_error() -> None:
    with pytest.raises(BuildError, match="expected 2 to 8 bits"):
        Scheme(9)


def test_of_one_scale_for_a_matrix_no_copies_of_it_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    divided = grid._fit_steps

    def counted(flat: Tensor, scheme: Scheme, steps: Tensor) -> Any:
        sizes.append(flat.numel())
        return divided(flat, scheme, steps)

    monkeypatch.setattr(grid, "_fit_steps", counted)
    weight = random_weight(64, 64)
    rounded_weight = rounded(weight, Scheme(8, "tensor"), observer="minmax")
    assert not sizes  # more values than levels
    assert torch.equal(rounded(rounded_weight, Scheme(8, "tensor"), observer="minmax"), rounded_weight)
    # 510 steps are tried on the distinct values, before some on the matrix
    assert sizes[0] == 510 * len(rounded_weight.unique())
