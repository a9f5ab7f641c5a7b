"""Figures on the answers of a classifier, for reports. No budget limits them.

- confusion counts: of one model, or of two side by side if there are many classes
- the divergence of a variant's probabilities from its teacher's
- precision and recall by a threshold on the confidence, below which a model may decline to answer
- calibration error, Brier score and reliability bins: confidence next to the share of right answers
"""

from __future__ import annotations

import numpy as np

from slimgate.judge.metrics.base import Metric, check_classes, compute_value
from slimgate.judge.metrics.classes import find_positive_label
from slimgate.judge.metrics.probabilities import BINS, METRICS, find_bins
from slimgate.outcomes import ClassOutcomes, Floats, Ints
from slimgate.results.behaviour import ReliabilityFacts, TradeoffFacts

# With more classes most cells of a matrix are empty, so a record lists only the cells that are not.
MOST_CLASSES_OF_A_MATRIX = 30

Cell = tuple[int, int, int, int]
# The divergence is infinite if a model gives a class the probability 0; so it is at most 27.6 nats a row.
_SMALLEST = 1e-12
_ROWS_AT_ONCE = 65_536
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def count_confusions(outcomes: ClassOutcomes) -> Ints:
    """(classes, classes) rows by [label, prediction]."""
    check_classes(outcomes)
    k = len(outcomes.classes)
    counted = np.bincount(outcomes.labels * k + outcomes.predictions, minlength=k * k)
    return counted.reshape(k, k).astype(np.int64)


def list_confusion_cells(teacher: ClassOutcomes, variant: ClassOutcomes) -> list[Cell]:
    """(label, prediction, teacher's rows, variant's rows) of every cell that is not empty in both."""
    before, after = count_confusions(teacher), count_confusions(variant)
    labels, predictions = np.nonzero(before + after)
    columns = (labels, predictions, before[labels, predictions], after[labels, predictions])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def compute_kl_to_teacher(teacher: ClassOutcomes, variant: ClassOutcomes) -> float | None:
    """Mean over the rows of KL(teacher || variant) in nats, 0 or more; None without probabilities of both."""
    if teacher.probabilities is None or variant.probabilities is None:
        return None
    total = 0.0
    for start in range(0, len(teacher), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        before, after = teacher.probabilities[part], variant.probabilities[part]
        # a probability of 0 adds nothing on the teacher's side
        ratio = np.log(np.maximum(before, _SMALLEST)) - np.log(np.maximum(after, _SMALLEST))
        total += float((before * ratio).sum(axis=1).sum())
    return max(0.0, total / len(teacher))


def compute_tradeoff(outcomes: ClassOutcomes) -> list[TradeoffFacts] | None:
    """One point for each threshold from 0.1 to 0.9; None without probabilities."""
    sure = compute_confidences(outcomes)
    if sure is None or outcomes.probabilities is None:
        return None
    if len(outcomes.classes) == 2:
        positive = find_positive_label(outcomes)
        column = 1 if positive is None else outcomes.classes.index(positive)
        score, target = outcomes.probabilities[:, column], outcomes.labels == column
        to_find = int(target.sum())
    else:
        score, target = sure, outcomes.predictions == outcomes.labels
        to_find = len(outcomes)
    answered = score >= np.array(THRESHOLDS)[:, None]
    points = zip(THRESHOLDS, answered.sum(axis=1), (answered & target).sum(axis=1), strict=True)
    return [
        TradeoffFacts(
            threshold=threshold,
            coverage=float(rows / len(outcomes)),
            precision=float(right / rows) if rows else None,
            recall=float(right / to_find) if to_find else None,
        )
        for threshold, rows, right in points
    ]


def compute_confidences(outcomes: ClassOutcomes) -> Floats | None:
    """(rows,) the probability that each prediction was given; None without probabilities."""
    if outcomes.probabilities is None:
        return None
    return outcomes.probabilities[np.arange(len(outcomes)), outcomes.predictions]


def compute_reliability(outcomes: ClassOutcomes) -> list[ReliabilityFacts] | None:
    """Bins of equal width over [0, 1], by the confidence in the prediction; None without probabilities.

    Source: Guo et al. 2017 (ICML), section 2.
    """
    sure = compute_confidences(outcomes)
    if sure is None:
        return None
    member = find_bins(sure)
    counts = np.bincount(member, minlength=BINS)
    sums = np.bincount(member, weights=sure, minlength=BINS)
    right = np.bincount(member[outcomes.predictions == outcomes.labels], minlength=BINS)
    return [
        ReliabilityFacts(
            low=k / BINS,
            high=(k + 1) / BINS,
            count=int(counts[k]),
            confidence=float(sums[k] / counts[k]) if counts[k] else None,
            accuracy=float(right[k] / counts[k]) if counts[k] else None,
        )
        for k in range(BINS)
    ]


def compute_calibration_error(outcomes: ClassOutcomes) -> float | None:
    """The metric `ece`; None without probabilities."""
    return _compute_value_or_none(METRICS["ece"], outcomes)


def compute_brier_score(outcomes: ClassOutcomes) -> float | None:
    """The metric `brier`; None without probabilities."""
    return _compute_value_or_none(METRICS["brier"], outcomes)


def _compute_value_or_none(metric: Metric, outcomes: ClassOutcomes) -> float | None:
    if outcomes.probabilities is None:
        return None
    return compute_value(metric, outcomes)
