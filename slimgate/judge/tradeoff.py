"""Precision and recall at thresholds of confidence: what a model answers if it may keep silent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimgate.judge.calibration import confidences
from slimgate.outcomes import ClassOutcomes

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class TradeoffPoint:
    """One threshold. coverage: the share of rows answered. precision: None where no row is answered, recall:
    None where there is nothing to find.

    Two classes: a row is answered where class 1 has at least that probability; precision and recall are those
    of class 1. More classes: where the prediction has at least that probability; precision is the share of
    right ones among the answered, recall among all rows.
    """

    threshold: float
    coverage: float
    precision: float | None
    recall: float | None


def tradeoff(outcomes: ClassOutcomes) -> tuple[TradeoffPoint, ...] | None:
    """One point a threshold from 0.1 to 0.9; None without probabilities."""
    sure = confidences(outcomes)
    if sure is None or outcomes.probabilities is None:
        return None
    if len(outcomes.classes) == 2:
        score, wanted = outcomes.probabilities[:, 1], outcomes.labels == 1
        to_find = int(wanted.sum())
    else:
        score, wanted = sure, outcomes.predictions == outcomes.labels
        to_find = len(outcomes)
    answered = score >= np.array(THRESHOLDS)[:, None]
    points = zip(THRESHOLDS, answered.sum(axis=1), (answered & wanted).sum(axis=1), strict=True)
    return tuple(
        TradeoffPoint(
            threshold=threshold,
            coverage=float(rows / len(outcomes)),
            precision=float(right / rows) if rows else None,
            recall=float(right / to_find) if to_find else None,
        )
        for threshold, rows, right in points
    )
