"""Areas under the ROC curve and under the precision-recall curve.

With two classes, the curve is of the positive label's probability; with more, the value is the mean over
one-versus-rest curves. The area under the ROC curve equals the share of pairs (a row of the class, a row of
another) in which the first has the higher score. The area under the precision-recall curve is the average
precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import Metric, check_classes, check_weights, read_probabilities
from slimgate.judge.metrics.confusion import divide_or_zero
from slimgate.outcomes import ClassOutcomes, Floats


def roc_auc(outcomes: ClassOutcomes, weights: Floats) -> Floats:
    """The weighted AUC; a tie counts one half. (rows,) or (resamples, rows) weights -> () or (resamples,).

    A class counts if it has rows in it and rows outside of it. A resample without such a class is NaN,
    because a single class has no ROC curve. It takes a few times the memory of `weights`.
    Raises MeasureError without rows or probabilities, and if `weights` is (rows,) and the value is NaN.
    """
    check_weights(outcomes, weights)
    check_classes(outcomes)
    probabilities = read_probabilities(outcomes, "roc_auc")
    k = len(outcomes.label_set)
    by_row = np.atleast_2d(weights).T
    total = np.zeros(by_row.shape[1])
    defined = np.zeros(by_row.shape[1])
    for label in _list_curve_labels(k):
        area, pairs = _weigh_won_pairs(probabilities[:, label], outcomes.labels == label, by_row)
        np.divide(area, pairs, out=area, where=pairs > 0)
        total += area
        defined += pairs > 0
    values = np.full_like(total, np.nan)
    np.divide(total, defined, out=values, where=defined > 0)
    if weights.ndim == 1 and not defined[0]:
        raise MeasureError("roc_auc: all labels are of one class, so there is no curve")
    return values.reshape(weights.shape[:-1])


def compute_auc_components(outcomes: ClassOutcomes) -> Floats:
    """(rows,) influence values of the AUC: DeLong's components, centred and scaled to give its variance.

    A positive row's value grows with the share of negatives that it beats. A negative row's value falls with
    the share of positives that it beats. For several classes, the mean. O(rows log rows) for each class.
    Source: DeLong et al. 1988, Biometrics 44:837-845; by ranks as Sun and Xu 2014, IEEE Signal Process.
    Lett. 21:1389-1393. Raises MeasureError if the AUC is not defined.
    """
    check_classes(outcomes)
    probabilities = read_probabilities(outcomes, "roc_auc")
    k = len(outcomes.label_set)
    sides = [(outcomes.labels == label, probabilities[:, label]) for label in _list_curve_labels(k)]
    defined = [(positive, scores) for positive, scores in sides if 0 < positive.sum() < len(outcomes)]
    if not defined:
        raise MeasureError("roc_auc: all labels are of one class, so there is no curve")
    total = np.zeros(len(outcomes))
    for positive, scores in defined:
        total += _compute_components(scores, positive) / len(defined)
    return total


def _compute_components(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """(rows,) the components of one class against the rest, scaled so that they give DeLong's variance.

    That variance has the denominators m - 1 and n - 1, for m positives and n negatives.
    """
    values = np.empty(len(scores))
    for side in (positive, ~positive):
        other_scores, size = np.sort(scores[~side]), int(side.sum())
        below = np.searchsorted(other_scores, scores[side], side="left")
        upto = np.searchsorted(other_scores, scores[side], side="right")
        beaten = (below + upto) / (2 * len(other_scores))
        # a high score helps a positive and harms a negative
        sign = 1.0 if side is positive else -1.0
        values[side] = sign * (beaten - beaten.mean()) * len(scores) / np.sqrt(size * max(size - 1, 1))
    return values


def _weigh_won_pairs(
    scores: Floats, positive: npt.NDArray[np.bool_], by_row: Floats
) -> tuple[Floats, Floats]:
    """(resamples,) the weight of the (positive, negative) pairs that the positive wins, and of all pairs.

    by_row: (rows, resamples) weights. In this order, picking rows copies contiguous memory.
    """
    positives = np.flatnonzero(positive)
    positives = positives[np.argsort(scores[positives], kind="stable")]
    negatives = np.flatnonzero(~positive)
    # below[i] is the weight of the i positives that score lowest
    below = np.zeros((len(positives) + 1, by_row.shape[1]))
    np.cumsum(by_row[positives], axis=0, out=below[1:])
    lower = np.searchsorted(scores[positives], scores[negatives], side="left")
    upto = np.searchsorted(scores[positives], scores[negatives], side="right")
    lost = _sum_products(by_row, negatives, below, lower)
    tied = lower != upto
    half = _sum_products(by_row, negatives[tied], below, upto[tied])
    half -= _sum_products(by_row, negatives[tied], below, lower[tied])
    pairs = below[-1] * by_row[negatives].sum(axis=0)
    return pairs - lost - half / 2, pairs


def _sum_products(
    by_row: Floats, rows: npt.NDArray[np.intp], below: Floats, at: npt.NDArray[np.intp]
) -> Floats:
    """Σ over rows of by_row[row] * below[at]: (resamples,)."""
    return np.asarray(np.einsum("ij,ij->j", by_row[rows], below[at]))


def average_precision(outcomes: ClassOutcomes, weights: Floats) -> Floats:
    """Weighted mean of the positives' precision: (rows,) or (resamples, rows) weights -> () or (resamples,).

    A positive's precision is that of the rows that score as high or higher, as scikit-learn's
    average_precision_score has it. One-versus-rest is the mean over classes that have rows; a resample
    without any is NaN. Memory: a few times that of `weights`.
    Raises MeasureError without rows or probabilities, and if `weights` is (rows,) and the value is NaN.
    """
    check_weights(outcomes, weights)
    total = np.zeros(weights.shape[:-1])
    defined = np.zeros(weights.shape[:-1])
    for curve in _make_curves(outcomes):
        by_rank = weights[..., curve.order]
        positives = by_rank[..., curve.positives]
        all_positives = positives.sum(axis=-1)
        hits = np.cumsum(positives, axis=-1)[..., curve.hits_at]
        precision = divide_or_zero(hits, np.cumsum(by_rank, axis=-1)[..., curve.last])
        total += divide_or_zero((positives * precision).sum(axis=-1), all_positives)
        defined += all_positives > 0
    if weights.ndim == 1 and not defined:
        raise MeasureError("pr_auc: no row has a label of a positive class, so there is no curve")
    values = np.full_like(total, np.nan)
    np.divide(total, defined, out=values, where=defined > 0)
    return values


def _list_curve_labels(classes: int) -> Sequence[int]:
    """The labels that have a curve: label 1 of two, and each label of more (one-versus-rest)."""
    return [1] if classes == 2 else range(classes)


class _Curve(NamedTuple):
    """One class against the rest.

    order: (rows,) rows by falling score. The others are (positives,). positives: their positions in `order`.
    last: the last position with the same score. hits_at: the index of the last positive up to `last`.
    """

    order: npt.NDArray[np.intp]
    positives: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    hits_at: npt.NDArray[np.intp]


def _make_curves(outcomes: ClassOutcomes) -> list[_Curve]:
    check_classes(outcomes)
    probabilities = read_probabilities(outcomes, "pr_auc")
    k = len(outcomes.label_set)
    return [_make_curve(probabilities[:, label], outcomes.labels == label) for label in _list_curve_labels(k)]


def _make_curve(scores: Floats, positive: npt.NDArray[np.bool_]) -> _Curve:
    order = np.argsort(-scores, kind="stable")
    falling, positives = -scores[order], np.flatnonzero(positive[order])
    last = np.searchsorted(falling, falling[positives], side="right") - 1
    return _Curve(order, positives, last, np.searchsorted(positives, last, side="right") - 1)


METRICS: Mapping[str, Metric] = {
    "roc_auc": Metric(
        name="roc_auc",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="probabilities",
        statistic=roc_auc,
        influence=compute_auc_components,
        influence_name="DeLong",
        over_labels=True,
    ),
    "pr_auc": Metric(
        name="pr_auc",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="probabilities",
        statistic=average_precision,
        of_positive=True,
        over_labels=True,
    ),
}
