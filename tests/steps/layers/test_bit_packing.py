"""Streams of k-bit numbers: bytes worked by hand, and every width there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slimgate.steps.layers.bit_packing import count_packed_bytes, pack, unpack


def rows(*values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8)


def test_two_numbers_of_4_bits_share_a_byte_the_first_in_the_low() -> None:
    assert pack(rows([1, 2, 15, 0]), 4).tolist() == [[0x21, 0x0F]]


def test_four_numbers_of_two_bits_share_a_byte() -> None:
    assert pack(rows([3, 0, 1, 2]), 2).tolist() == [[0b10_01_00_11]]


def test_eight_numbers_of_three_bits_fill_three_bytes() -> None:
    # 111 110 101 100 011 010 001 000 from the top: fac688 hexadecimal
    assert pack(rows([0, 1, 2, 3, 4, 5, 6, 7]), 3).tolist() == [[0x88, 0xC6, 0xFA]]


def test_eight_numbers_of_one_bit_are_numpys_packed_bits() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (5, 24), dtype=np.uint8)
    assert np.array_equal(pack(torch.from_numpy(bits), 1), np.packbits(bits, axis=1, bitorder="little"))


@pytest.mark.parametrize(
    ("columns", "bits", "expected"), [(3, 4, 2), (8, 3, 3), (9, 3, 4), (1, 2, 1), (7, 8, 7)]
)
def test_a_row_ends_at_the_next_whole_byte(columns: int, bits: int, expected: int) -> None:
    assert count_packed_bytes(columns, bits) == expected
    assert pack(torch.zeros(2, columns, dtype=torch.uint8), bits).shape == (2, expected)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("columns", [1, 7, 8, 33])
def test_numbers_come_back(bits: int, columns: int) -> None:
    levels = torch.randint(0, 2**bits, (4, columns), generator=torch.Generator().manual_seed(bits))
    levels = levels.to(torch.uint8)
    levels[0, 0] = 2**bits - 1
    assert torch.equal(unpack(pack(levels, bits), bits, columns), levels)


def test_a_row_can_be_unpacked_alone() -> None:
    levels = torch.arange(30, dtype=torch.uint8).view(3, 10) % 8
    assert torch.equal(unpack(pack(levels, 3)[1:2], 3, 10), levels[1:2])
