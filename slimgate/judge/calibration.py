"""Is a model right as often as it says? Expected calibration error, Brier score, reliability bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimgate.judge.metrics.base import Metric, value_of
from slimgate.judge.metrics.brier import METRICS as BRIER
from slimgate.judge.metrics.ece import BINS, bin_of
from slimgate.judge.metrics.ece import METRICS as ECE
from slimgate.outcomes import ClassOutcomes, Floats


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose confidence is in (low, high]. confidence, accuracy: their means; None in an empty bin."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def confidences(outcomes: ClassOutcomes) -> Floats | None:
    """(rows,) the probability that each prediction was given; None without probabilities."""
    if outcomes.probabilities is None:
        return None
    return outcomes.probabilities[np.arange(len(outcomes)), outcomes.predictions]


def reliability(outcomes: ClassOutcomes) -> tuple[ReliabilityBin, ...] | None:
    """Bins of equal width over [0, 1], by the confidence in the prediction; None without probabilities.

    Source: Guo et al. 2017 (ICML), section 2.
    """
    sure = confidences(outcomes)
    if sure is None:
        return None
    member = bin_of(sure)
    counts = np.bincount(member, minlength=BINS)
    sums = np.bincount(member, weights=sure, minlength=BINS)
    right = np.bincount(member[outcomes.predictions == outcomes.labels], minlength=BINS)
    return tuple(
        ReliabilityBin(
            low=k / BINS,
            high=(k + 1) / BINS,
            count=int(counts[k]),
            confidence=float(sums[k] / counts[k]) if counts[k] else None,
            accuracy=float(right[k] / counts[k]) if counts[k] else None,
        )
        for k in range(BINS)
    )


def expected_calibration_error(outcomes: ClassOutcomes) -> float | None:
    """The metric `ece`; None without probabilities."""
    return _measured(ECE["ece"], outcomes)


def brier_score(outcomes: ClassOutcomes) -> float | None:
    """The metric `brier`; None without probabilities."""
    return _measured(BRIER["brier"], outcomes)


def _measured(metric: Metric, outcomes: ClassOutcomes) -> float | None:
    if outcomes.probabilities is None:
        return None
    return value_of(metric, outcomes)
