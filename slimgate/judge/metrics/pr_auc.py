"""Area under the precision-recall curve as average precision; more than two classes by one-versus-rest.

Two classes: by the probability of the positive label, whose rows are the positives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import Metric, check_classes, check_weights, probabilities_of
from slimgate.judge.metrics.confusion import ratio
from slimgate.outcomes import ClassOutcomes, Floats


def average_precision(outcomes: ClassOutcomes, weights: Floats) -> Floats:
    """Weighted mean of the positives' precision: (rows,) or (resamples, rows) weights -> () or (resamples,).

    A positive's precision is that of the rows that score as high or higher, as scikit-learn's
    average_precision_score has it. One-versus-rest is the mean over classes that have rows; a resample
    without any is NaN. Memory: a few times that of `weights`.
    Raises MeasureError without rows or probabilities, and where `weights` is (rows,) and the value is NaN.
    """
    check_weights(outcomes, weights)
    total = np.zeros(weights.shape[:-1])
    defined = np.zeros(weights.shape[:-1])
    for curve in _curves(outcomes):
        by_rank = weights[..., curve.order]
        positives = by_rank[..., curve.positives]
        all_positives = positives.sum(axis=-1)
        hits = np.cumsum(positives, axis=-1)[..., curve.places]
        precision = ratio(hits, np.cumsum(by_rank, axis=-1)[..., curve.last])
        total += ratio((positives * precision).sum(axis=-1), all_positives)
        defined += all_positives > 0
    if weights.ndim == 1 and not defined:
        raise MeasureError("pr_auc: no row has a label of a positive class, so there is no curve")
    values = np.full_like(total, np.nan)
    np.divide(total, defined, out=values, where=defined > 0)
    return values


class _Curve(NamedTuple):
    """One class against the rest. order: (rows,) by falling score; the others (positives,).

    positives: their places in that order; last: the last place of the same score; found: the last positive up
    to there.
    """

    order: npt.NDArray[np.intp]
    positives: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    places: npt.NDArray[np.intp]


def _curves(outcomes: ClassOutcomes) -> list[_Curve]:
    check_classes(outcomes)
    probabilities = probabilities_of(outcomes, "pr_auc")
    k = len(outcomes.label_set)
    return [
        _curve(probabilities[:, label], outcomes.labels == label) for label in ([1] if k == 2 else range(k))
    ]


def _curve(scores: Floats, positive: npt.NDArray[np.bool_]) -> _Curve:
    order = np.argsort(-scores, kind="stable")
    falling, positives = -scores[order], np.flatnonzero(positive[order])
    last = np.searchsorted(falling, falling[positives], side="right") - 1
    return _Curve(order, positives, last, np.searchsorted(positives, last, side="right") - 1)


METRICS: Mapping[str, Metric] = {
    "pr_auc": Metric(
        name="pr_auc",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="probabilities",
        statistic=average_precision,
        of_positive=True,
        over_labels=True,
    )
}
