"""slimgate.models.seeding: equal seeds draw equal numbers, and everybody else's generators stay as they
were.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from slimgate.models.seeding import isolated_seed


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_equal_seeds_draw_equal_numbers_and_others_do_not() -> None:
    drawn = []
    for seed in (3, 3, 4):
        with isolated_seed(seed):
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


def test_the_numbers_outside_are_as_if_nothing_had_been_drawn() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    got = [draw()]
    with isolated_seed(9):
        draw()
    got.append(draw())
    assert got == expected


def test_states_come_back_after_an_error() -> None:
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), isolated_seed(5):
        raise ZeroDivisionError
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_seed_beyond_32_bits_is_taken() -> None:
    with isolated_seed(2**40 + 1):
        first = draw()
    with isolated_seed(2**40 + 1):
        assert draw() == first
