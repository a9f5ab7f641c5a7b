"""Is a model right as often as it says? Expected calibration error, Brier score, reliability bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimgate.metrics.base import check_classes
from slimgate.outcomes import Floats, Outcomes

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose confidence is in (low, high]. confidence, accuracy: their means; None in an empty bin."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def confidences(outcomes: Outcomes) -> Floats | None:
    """(rows,) the probability that each prediction was given; None without probabilities."""
    if outcomes.probabilities is None:
        return None
    return outcomes.probabilities[np.arange(len(outcomes)), outcomes.predictions]


def reliability(outcomes: Outcomes, bins: int = BINS) -> tuple[ReliabilityBin, ...] | None:
    """Bins of equal width over [0, 1], by the confidence in the prediction; None without probabilities.

    Source: Guo et al. 2017 (ICML), section 2.
    """
    sure = confidences(outcomes)
    if sure is None:
        return None
    edges = np.linspace(0, 1, bins + 1)
    member = np.clip(np.digitize(sure, edges, right=True) - 1, 0, bins - 1)
    counts = np.bincount(member, minlength=bins)
    sums = np.bincount(member, weights=sure, minlength=bins)
    right = np.bincount(member[outcomes.predictions == outcomes.labels], minlength=bins)
    return tuple(
        ReliabilityBin(
            low=float(edges[k]),
            high=float(edges[k + 1]),
            count=int(counts[k]),
            confidence=float(sums[k] / counts[k]) if counts[k] else None,
            accuracy=float(right[k] / counts[k]) if counts[k] else None,
        )
        for k in range(bins)
    )


def expected_calibration_error(outcomes: Outcomes, bins: int = BINS) -> float | None:
    """Mean distance of confidence from accuracy, bins weighted by their rows; in [0, 1].

    None without probabilities. Source: Guo et al. 2017 (ICML), equation 3.
    """
    found = reliability(outcomes, bins)
    if found is None:
        return None
    gaps = [
        one.count * abs(one.confidence - one.accuracy)
        for one in found
        if one.confidence is not None and one.accuracy is not None
    ]
    return sum(gaps) / len(outcomes)


def brier_score(outcomes: Outcomes) -> float | None:
    """Mean squared distance of the probabilities from the label, summed over the classes; in [0, 2].

    For two classes twice the mean squared error of class 1. None without probabilities.
    Source: Brier 1950, Monthly Weather Review 78:1-3.
    """
    if outcomes.probabilities is None:
        return None
    check_classes(outcomes)
    squares = np.einsum("ij,ij->i", outcomes.probabilities, outcomes.probabilities)
    of_label = outcomes.probabilities[np.arange(len(outcomes)), outcomes.labels]
    return float(np.mean(squares - 2 * of_label + 1))
