"""slimgate.judge.ranks: the ranks are those of scipy, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from slimgate.judge.ranks import rank_values
from slimgate.outcomes import Floats


def test_equal_values_have_the_mean_of_their_ranks() -> None:
    assert rank_values(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=1000),
        np.random.default_rng(1).integers(0, 7, 1001).astype(float),
        np.full(6, 0.5),
        np.array([]),
    ],
    ids=["different", "ties", "equal", "none"],
)
def test_ranks_are_those_of_scipy(values: Floats) -> None:
    assert np.array_equal(rank_values(values), rankdata(values))
