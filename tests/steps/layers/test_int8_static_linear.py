"""Static int8 layers against integer references, at the edges of their range, saved, loaded and copied."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.random_layers import draw_linear, draw_rows
from torch import Tensor

from slimgate.errors import BuildError
from slimgate.steps.layers import int8_static_linear
from slimgate.steps.layers.int8_static_linear import Int8StaticLinear, compute_scale_zero_point


def divisors(inputs: int) -> Tensor:
    return torch.linspace(0.5, 2.0, inputs)


def reference(layer: Int8StaticLinear, rows: Tensor) -> Tensor:
    """Quantize by the definition in float64, multiply in int64, scale in float64."""
    scale, zero_point = layer.input_scale.double(), int(layer.input_zero_point)
    smoothing = 1.0 if layer.smoothing is None else layer.smoothing.double()
    levels = ((rows.double() / smoothing / scale).round() + zero_point).clamp(0, 255).long()
    sums = (levels - zero_point) @ layer.weight.long().t()
    outputs = sums.double() * layer.weight_scale.double() * scale
    return outputs if layer.bias is None else outputs + layer.bias.double()


@pytest.fixture(params=["fused", "exact"])
def either_product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "exact":
        monkeypatch.setattr(int8_static_linear, "is_fused_product_exact", lambda: False)
    elif not int8_static_linear.is_fused_product_exact():
        pytest.skip("this CPU or PyTorch has no exact fused int8 product")


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs", "bias", "smoothed"),
    [
        (1, 384, 384, True, False),
        (25, 384, 1536, True, True),
        (64, 1536, 384, False, False),
        (3, 7, 5, True, True),
        (2, 1, 1, False, False),
    ],
)
@pytest.mark.usefixtures("either_product")
def test_outputs_equal_the_integer_reference(
    rows: int, inputs: int, outputs: int, bias: bool, smoothed: bool
) -> None:
    smoothing = divisors(inputs) if smoothed else None
    linear = draw_linear(inputs, outputs, bias=bias)
    layer = Int8StaticLinear.from_linear(linear, low=-2.0, high=3.0, smoothing=smoothing)
    values = draw_rows(rows, inputs)
    expected, got = reference(layer, values), layer(values).double()
    # A level may differ where float32 and float64 round a half apart, one in some 100,000 inputs.
    level = float(layer.input_scale) * float(layer.weight_scale.max()) * 127
    torch.testing.assert_close(got, expected, rtol=0, atol=1.1 * level)
    assert ((got - expected).abs() <= 2e-6 * expected.abs().max()).double().mean() > 0.9


@pytest.mark.usefixtures("either_product")
def test_a_row_worked_by_hand() -> None:
    layer = Int8StaticLinear(2, 2)
    layer.load_state_dict(
        {
            "weight": torch.tensor([[127, 0], [-127, 127]], dtype=torch.int8),
            "weight_scale": torch.tensor([0.5, 1.0]),
            "input_scale": torch.tensor(2.0),
            "input_zero_point": torch.tensor(100, dtype=torch.int32),
            "bias": torch.tensor([0.0, 10.0]),
        }
    )
    # 20 / 2 = 10 steps; -1000 / 2 is below the lowest level, 100 steps under zero.
    assert layer(torch.tensor([[20.0, -1000.0]])).tolist() == [
        [10 * 127 * 0.5 * 2, (-10 * 127 - 100 * 127) * 2 + 10.0]
    ]


@pytest.mark.usefixtures("either_product")
def test_a_rows_result_is_the_same_to_the_bit_whatever_the_batch() -> None:
    linear = draw_linear(384, 1531)  # a width that no vector of the CPU divides
    layer = Int8StaticLinear.from_linear(linear, low=-2.5, high=2.5, smoothing=divisors(384))
    rows = draw_rows(150, 384)
    together = layer(rows)
    for start, stop in [(0, 1), (17, 18), (3, 28), (40, 123), (149, 150)]:
        assert torch.equal(layer(rows[start:stop]), together[start:stop])
    order = torch.randperm(150, generator=torch.Generator().manual_seed(1))
    assert torch.equal(layer(rows[order]), together[order])


@pytest.mark.usefixtures("either_product")
def test_zero_rows_give_the_bias_exactly() -> None:
    layer = Int8StaticLinear.from_linear(draw_linear(384, 16), low=-0.17, high=9.0)
    assert layer.bias is not None
    assert torch.equal(layer(torch.zeros(2, 384)), layer.bias.expand(2, 16))


@pytest.mark.usefixtures("either_product")
def test_what_lies_outside_the_range_takes_its_ends() -> None:
    layer = Int8StaticLinear.from_linear(draw_linear(8, 4), low=-1.0, high=2.0)
    ends = torch.tensor([[-1.01] * 8, [2.01] * 8])  # a level beyond, so that rounding plays no part
    far = torch.tensor([[-1e30] * 8, [float("inf")] * 8])
    assert torch.equal(layer(far), layer(ends))


def test_smoothing_changes_float_outputs_only_by_rounding() -> None:
    linear = draw_linear(64, 32)
    rows = draw_rows(40, 64) * torch.logspace(-1, 1, 64)
    smoothing = rows.abs().amax(dim=0)
    plain = Int8StaticLinear.from_linear(linear, low=float(rows.min()), high=float(rows.max()))
    smooth = Int8StaticLinear.from_linear(linear, low=-1.0, high=1.0, smoothing=smoothing)
    with torch.no_grad():
        expected = linear(rows)
    error = {layer: float((layer(rows) - expected).norm() / expected.norm()) for layer in (plain, smooth)}
    assert error[smooth] < 0.02
    assert error[smooth] < error[plain]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.0, 1.55, (0.01, 100)),
        (0.0, 2.55, (0.01, 0)),
        (1.0, 2.55, (0.01, 0)),  # 0 is taken in
        (-2.55, -1.0, (0.01, 255)),
    ],
)
def test_255_steps_reach_from_end_to_end(low: float, high: float, expected: tuple[float, int]) -> None:
    scale, zero_point = compute_scale_zero_point(low, high)
    assert scale == pytest.approx(expected[0])
    assert zero_point == expected[1]


def test_a_range_of_nothing_gives_finite_outputs() -> None:
    layer = Int8StaticLinear.from_linear(draw_linear(8, 4), low=0.0, high=0.0)
    assert layer(torch.ones(2, 8)).isfinite().all()


def test_a_range_that_is_not_finite_is_refused() -> None:
    with pytest.raises(BuildError, match="inputs range from nan to 1"):
        Int8StaticLinear.from_linear(draw_linear(8, 4), low=float("nan"), high=1.0)


@pytest.mark.usefixtures("either_product")
@pytest.mark.parametrize("shape", [(384,), (0, 384), (2, 5, 384), (2, 3, 4, 384)])
def test_leading_dimensions_are_kept(shape: tuple[int, ...]) -> None:
    layer = Int8StaticLinear.from_linear(draw_linear(384, 24), low=-3, high=3)
    values = draw_rows(*shape)
    got = layer(values)
    assert got.shape == (*shape[:-1], 24)
    assert torch.equal(got.reshape(-1, 24), layer(values.reshape(-1, 384)))
    assert layer(values.bfloat16()).dtype == torch.bfloat16


def test_a_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 384\)"):
        Int8StaticLinear(384, 24)(torch.zeros(3, 383))


@pytest.mark.usefixtures("either_product")
@pytest.mark.parametrize("smoothed", [True, False], ids=["smoothed", "plain"])
def test_a_saved_layer_loads_into_a_fresh_one_to_the_bit(tmp_path: Path, smoothed: bool) -> None:
    linear = draw_linear(384, 1536)
    smoothing = divisors(384) if smoothed else None
    layer = Int8StaticLinear.from_linear(linear, low=-2, high=3, smoothing=smoothing)
    expected = layer(draw_rows(5, 384))
    safetensors.torch.save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    fresh = Int8StaticLinear(**layer.list_options())
    fresh(draw_rows(5, 384))  # what it derived of its empty state is given up
    fresh.load_state_dict(safetensors.torch.load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(fresh(draw_rows(5, 384)), expected)


def test_a_copy_of_a_layer_that_ran_is_equal_and_independent() -> None:
    layer = Int8StaticLinear.from_linear(draw_linear(384, 24), low=-3, high=3)
    expected = layer(draw_rows(2, 384))
    twin = copy.deepcopy(layer)
    layer.weight.zero_()
    assert torch.equal(twin(draw_rows(2, 384)), expected)


def test_gradients_stop_at_the_layer() -> None:
    layer = Int8StaticLinear.from_linear(draw_linear(8, 4), low=-3, high=3)
    assert not layer(draw_rows(2, 8).requires_grad_()).requires_grad
