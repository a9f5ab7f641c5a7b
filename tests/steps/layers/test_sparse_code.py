"""slimgate.steps.layers.sparse_code: bytes worked by hand, exact round trips, and the layout of least
bytes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from slimgate.errors import BuildError
from slimgate.steps.layers.sparse_code import choose_layout, decode, encode


def sparse(share: float, shape: tuple[int, int] = (48, 64), seed: int = 0) -> torch.Tensor:
    """A matrix with about that share of zeros."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.normal(size=shape) * (rng.random(shape) >= share)).astype(np.float32))


def n_of_m(n: int, m: int, shape: tuple[int, int] = (30, 64)) -> torch.Tensor:
    rng = np.random.default_rng(1)
    keep = np.argsort(np.argsort(rng.random((shape[0] * shape[1] // m, m)), axis=1), axis=1) < n
    return torch.from_numpy((rng.normal(size=shape) * keep.reshape(shape)).astype(np.float32))


def test_a_mask_has_a_bit_a_weight_the_first_in_the_lowest() -> None:
    weight = torch.tensor([[5.0, 0.0, 0.0, 6.0, 0.0], [0.0, 0.0, 7.0, 8.0, 9.0]])
    pattern, values = encode(weight, "mask")
    assert pattern.tolist() == [0b10001001, 0b11]
    assert values.tolist() == [5.0, 6.0, 7.0, 8.0, 9.0]
    expected = np.packbits((weight != 0).numpy().flatten(), bitorder="little")
    assert pattern.tolist() == expected.tolist()


def test_gaps_count_zeros_and_skip_on_by_the_highest_code() -> None:
    weight = torch.zeros(1, 12)
    weight[0, [0, 3, 10]] = torch.tensor([1.0, 2.0, 3.0])
    # gaps 0, 2, 6: 6 is twice 3 (skip) and 0; five codes 0 2 3 3 0, filled up by skips
    pattern, values = encode(weight, "gaps2")
    assert pattern.tolist() == [0b11111000, 0b11111100]
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert encode(weight, "gaps4")[0].tolist() == [0x20, 0xF6]


def test_two_of_four_is_a_digit_of_six_three_digits_to_a_byte() -> None:
    # combinations in order: 01 02 03 12 13 23
    weight = torch.tensor([[1.0, 2, 0, 0, 0, 3, 4, 0, 0, 0, 5, 6, 7, 0, 0, 8]])
    pattern, values = encode(weight, "2:4")
    assert pattern.tolist() == [0 + 3 * 6 + 5 * 36, 2]
    assert values.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("layout", ["mask", "gaps2", "gaps4", "dense"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 0.99, 1.0])
def test_every_layout_gives_the_matrix_back(layout: str, share: float) -> None:
    for shape in ((48, 64), (3, 5), (1, 1)):
        weight = sparse(share, shape)
        pattern, values = encode(weight, layout)
        assert pattern.dtype == torch.uint8
        assert torch.equal(decode(pattern, values, shape, layout), weight)


@pytest.mark.parametrize("layout", ["1:2", "1:4", "2:4", "3:4", "1:8", "2:8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8])
def test_n_of_m_gives_the_matrix_back_also_in_sparser_groups(layout: str, dtype: torch.dtype) -> None:
    n, m = map(int, layout.split(":"))
    weight = n_of_m(n, m)
    weight[::3] = 0
    weight = (weight * 20).to(dtype)
    pattern, values = encode(weight, layout)
    assert len(values) == weight.numel() * n // m
    assert torch.equal(decode(pattern, values, (30, 64), layout), weight)


@pytest.mark.parametrize(
    ("weight", "value_bits", "expected"),
    [
        (sparse(0.0), 32, "dense"),
        (sparse(0.5), 32, "mask"),
        (sparse(0.5), 8, "mask"),
        (sparse(0.8), 4, "gaps2"),
        (sparse(0.95), 8, "gaps4"),
        (sparse(1.0), 8, "gaps2"),
        (n_of_m(2, 4), 3, "2:4"),
        (n_of_m(1, 4), 16, "1:4"),
    ],
    ids=["none", "half", "half of int8", "80 %", "95 %", "all", "2:4", "1:4"],
)
def test_the_smallest_layout_is_chosen_and_weighs_as_estimated(
    weight: torch.Tensor, value_bits: int, expected: str
) -> None:
    layout, size = choose_layout(weight, value_bits)
    assert layout == expected
    sizes = {}
    for name in ("dense", "mask", "gaps2", "gaps4", expected):
        pattern, values = encode(weight, name)
        sizes[name] = len(pattern) + math.ceil(len(values) * value_bits / 8)
    assert size == sizes[expected] == min(sizes.values())


def test_two_of_four_takes_two_thirds_of_a_bit_a_weight() -> None:
    pattern, _ = encode(n_of_m(2, 4), "2:4")
    assert len(pattern) == math.ceil(30 * 64 / 4 / 3)
    assert len(pattern) * 8 / (30 * 64) == pytest.approx(2 / 3, rel=0.01)


@pytest.mark.parametrize("layout", ["mask", "gaps2", "2:4"])
def test_values_that_do_not_fit_the_pattern_are_an_error(layout: str) -> None:
    pattern, values = encode(n_of_m(2, 4), layout)
    with pytest.raises(BuildError, match=f"layout {layout} names 960 places in 1920 weights, but 959 values"):
        decode(pattern, values[:-1], (30, 64), layout)


def test_gaps_that_lead_beyond_the_matrix_are_an_error() -> None:
    pattern, values = encode(sparse(0.9), "gaps4")
    with pytest.raises(BuildError, match="places in 64 weights"):
        decode(pattern, values, (8, 8), "gaps4")
