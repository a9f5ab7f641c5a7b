"""Fake quantization: gradients by hand, and weights that end on their grid."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from slimgate.steps.layers.grid import Grid, Scheme, dequantize, fit_grid, quantize
from slimgate.steps.quantize._quantization_aware_training import (
    FakeQuantization,
    round_straight_through,
    with_fake_quantization,
)


def grid_of(scale: float, *, bits: int = 2, zero_point: int = 2) -> Grid:
    scheme = Scheme(bits, "tensor", symmetric=zero_point == 2)
    return Grid(scheme, torch.tensor([[scale]]).half(), torch.tensor([[zero_point]], dtype=torch.uint8))


def test_values_are_the_nearest_of_the_grid() -> None:
    rounding = FakeQuantization(grid_of(0.5))
    weight = torch.tensor([[-3.0, -0.6, 0.2, 0.3, 0.6, 2.0]])
    assert rounding(weight).tolist() == [[-1.0, -0.5, 0.0, 0.5, 0.5, 0.5]]


def test_a_weight_learns_unless_it_is_clipped() -> None:
    weight = torch.tensor([[-3.0, -0.6, 0.2, 2.0]], requires_grad=True)
    FakeQuantization(grid_of(0.5))(weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0.0, 1.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("weight", "gradient"),
    [(-3.0, -2.0), (2.0, 1.0), (-0.6, -1 + 1.2), (0.2, 0 - 0.4)],
    ids=["clipped low", "clipped high", "inside", "inside above"],
)
def test_the_gradient_of_the_scale_is_that_of_learned_step_size(weight: float, gradient: float) -> None:
    """Esser et al. 2020, equation 3: the lowest or highest level where clipped, else round(w/s) - w/s."""
    rounding = FakeQuantization(grid_of(0.5))
    rounding(torch.tensor([[weight]])).sum().backward()
    assert rounding.growth.grad is not None
    assert float(rounding.growth.grad) == pytest.approx(8 * 0.5 * gradient, abs=1e-6)


def test_rounding_passes_gradients_as_if_it_were_not_there() -> None:
    values = torch.tensor([0.4, 2.6], requires_grad=True)
    rounded = round_straight_through(values)
    assert rounded.tolist() == [0.0, 3.0]
    (rounded * torch.tensor([2.0, 5.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [2.0, 5.0]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_trained_weights_lie_on_a_grid_that_fitting_finds_again(bits: int, symmetric: bool) -> None:
    torch.manual_seed(0)
    layer, scheme = nn.Linear(40, 12), Scheme(bits, "group", 16, symmetric)
    inputs, targets = torch.randn(64, 40), torch.randn(64, 12)
    with with_fake_quantization({"layer": layer}, {"layer": fit_grid(layer.weight, scheme)}) as rounding:
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(layer(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
        answers = layer(inputs).detach()
        assert rounding["layer"].change() > 0.01
    assert losses[-1] < losses[0]
    assert type(layer) is nn.Linear
    assert set(layer.state_dict()) == {"weight", "bias"}
    for observer in ("mse", "minmax"):
        grid = fit_grid(layer.weight, scheme, observer=observer)
        assert torch.equal(dequantize(quantize(layer.weight.detach(), grid), grid), layer.weight)
    assert torch.equal(layer(inputs), answers)


@pytest.mark.parametrize("columns", [32, 40], ids=["whole groups", "a shorter last group"])
def test_trained_weights_can_be_saved(columns: int, tmp_path: Path) -> None:
    layer = nn.Linear(columns, 12)
    with with_fake_quantization({"0": layer}, {"0": fit_grid(layer.weight, Scheme(4, group_size=16))}):
        pass
    safetensors.torch.save_model(layer, str(tmp_path / "layer.safetensors"))
    saved = safetensors.torch.load_file(tmp_path / "layer.safetensors")
    assert torch.equal(saved["weight"], layer.weight)


def test_pruned_weights_stay_zero_and_scales_may_be_kept() -> None:
    layer = nn.Linear(16, 4)
    with torch.no_grad():
        layer.weight[:, ::2] = 0
    grids = {"layer": fit_grid(layer.weight, Scheme(4))}
    with with_fake_quantization(
        {"layer": layer}, grids, learned=False, pruned=frozenset({"layer"})
    ) as rounding:
        optimizer = torch.optim.SGD([p for p in layer.parameters() if p.requires_grad], lr=1.0)
        layer(torch.randn(8, 16, generator=torch.Generator().manual_seed(0))).square().sum().backward()
        optimizer.step()
        assert rounding["layer"].change() == 0
    assert (layer.weight[:, ::2] == 0).all()
    assert layer.weight[:, 1::2].count_nonzero() > 0


def test_an_error_inside_leaves_plain_layers_behind() -> None:
    layer = nn.Linear(8, 8)
    grids = {"layer": fit_grid(layer.weight, Scheme(4))}
    with pytest.raises(ZeroDivisionError), with_fake_quantization({"layer": layer}, grids):
        1 / 0  # noqa: B018
    assert type(layer) is nn.Linear
