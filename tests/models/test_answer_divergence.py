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
    found = find_divergence("1", [7, 1], [7, 0], lambda _: SCORES, scale=scale)
    assert found is not None
    assert (found.place, found.gap) == (1, pytest.approx(gap))
    assert f"times the {scale} of the scores; expected" in found.describe("row", 0.01)
