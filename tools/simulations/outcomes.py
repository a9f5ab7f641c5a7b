"""Outcomes that several simulations make."""

from __future__ import annotations

from functools import cache

import numpy as np

from slimgate.outcomes import ClassOutcomes, Floats


@cache
def make_ids(n: int) -> np.ndarray:
    """(n,) ids of rows."""
    return np.arange(n).astype(np.str_)


def make_two_class_outcomes(labels: np.ndarray, scores: Floats) -> ClassOutcomes:
    """Outcomes of two classes. scores: half the log odds of class 1."""
    positive = 1 / (1 + np.exp(-2 * scores))
    probabilities = np.stack([1 - positive, positive], axis=1)
    return ClassOutcomes(
        make_ids(len(labels)),
        labels,
        (positive > 0.5).astype(np.int64),
        ("negative", "positive"),
        probabilities,
    )
