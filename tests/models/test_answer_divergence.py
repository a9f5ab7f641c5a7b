"""Where two answers part, and what the gap is measured in."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.models.divergence import Scale, find_divergence

SCORES = np.array([4.0, 6.0, 2.0, 4.0], np.float32)  # mean 4, variance 2


@pytest.mark.parametrize(
    ("scale", "gap"), [("standard deviation", 2 / 2**0.5), ("root mean square", 2 / 18**0.5)]
)
def test_a_gap_is_a_multiple_of_the_scale_that_the_caller_names(scale: Scale, gap: float) -> None:
    divergence = find_divergence("1", [7, 1], [7, 0], lambda _: SCORES, scale=scale)
    assert divergence is not None
    assert (divergence.place, divergence.gap) == (1, pytest.approx(gap))
    assert f"times the {scale} of the scores; expected" in divergence.describe("row", 0.01)


@pytest.mark.parametrize(
    ("scores", "gap"),
    [
        pytest.param([4.0, 6.0, -np.inf, 2.0], 2 / (8 / 3) ** 0.5, id="-inf for another token"),
        pytest.param([4.0, 6.0, -1e9, 2.0], 2 / (8 / 3) ** 0.5, id="-1e9 for another token"),
        pytest.param([4.0, 6.0, -3.4e38, 2.0], 2 / (8 / 3) ** 0.5, id="lowest float32 for another token"),
        pytest.param([-np.inf, 6.0, 4.0, 4.0], np.inf, id="-inf for the written token"),
        pytest.param([np.nan, 6.0, 4.0, 4.0], np.inf, id="NaN"),
        pytest.param([6.0, 6.0, 4.0, 4.0], 0.0, id="tie"),
        pytest.param([4.0, 4.0, 4.0, 4.0], 0.0, id="all equal"),
    ],
)
def test_a_gap_is_never_nan_which_no_tolerance_refuses(scores: list[float], gap: float) -> None:
    divergence = find_divergence("1", [1], [0], lambda _: np.array(scores, np.float32))
    assert divergence is not None
    assert divergence.gap == pytest.approx(gap)
