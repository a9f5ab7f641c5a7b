"""Brent's method against scipy's: the same root to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq

from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.paired import compute_tango_z
from slimgate.judge.root import find_root

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "exponential": lambda x: math.exp(x) - 2,
    "arc tangent": lambda x: math.atan(x) - 0.2,
    "cubic": lambda x: x**3 - 2 * x - 5,
    "jump": lambda x: math.copysign(1, x - 0.123),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_root_is_that_of_scipy(name: str) -> None:
    function = FUNCTIONS[name]
    for low, high in np.random.default_rng(3).uniform((-6, 3), (-1, 8), (50, 2)).tolist():
        assert find_root(function, low, high) == brentq(function, low, high)
        assert find_root(function, low, high, xtol=1e-9, rtol=1e-6) == brentq(
            function, low, high, xtol=1e-9, rtol=1e-6
        )


def test_the_bound_of_tango_is_that_of_scipy() -> None:
    random = np.random.default_rng(4)
    with_root = 0
    for _ in range(300):
        n = int(random.choice([10, 100, 2000, 10**7]))
        lost, won = (int(count) for count in random.integers(0, n // 2, 2))

        def distance(margin: float, counts: tuple[int, int, int] = (lost, won, n)) -> float:
            return compute_tango_z(*counts, margin) + Z_ALPHA

        low, high = (lost - won) / n + 1e-13, 1 - 1e-13
        if distance(high) < 0:
            with_root += 1
            assert find_root(distance, low, high, xtol=1e-14, rtol=1e-14) == brentq(
                distance, low, high, xtol=1e-14, rtol=1e-14
            )
    assert with_root > 200


def test_an_end_may_be_the_root() -> None:
    assert find_root(lambda x: x, 0.0, 1.0) == 0.0
    assert find_root(lambda x: x - 1, 0.0, 1.0) == 1.0


def test_equal_signs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected values with opposite signs"):
        find_root(lambda x: x * x + 1, 0.0, 1.0)


def test_a_root_that_is_not_reached_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="after 100 steps"):
        find_root(lambda x: x**9, -2.0, 3.0)
