"""Area under the ROC curve: two classes by the probability of class 1, more by one-versus-rest macro mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import Metric, check_classes, check_weights, probabilities_of
from slimgate.outcomes import ClassOutcomes, Floats


def roc_auc(outcomes: ClassOutcomes, weights: Floats) -> Floats:
    """Weighted AUC, ties counting one half: (rows,) or (resamples, rows) weights -> () or (resamples,).

    One-versus-rest is the mean over classes that have rows both of it and not of it; a resample where no
    class has is NaN (a single class has no ROC curve). Memory: a few times that of `weights`.
    Raises MeasureError without rows or probabilities, and where `weights` is (rows,) and the value is NaN.
    """
    check_weights(outcomes, weights)
    check_classes(outcomes)
    probabilities = probabilities_of(outcomes, "roc_auc")
    k = len(outcomes.label_set)
    by_row = np.atleast_2d(weights).T
    total = np.zeros(by_row.shape[1])
    defined = np.zeros(by_row.shape[1])
    for label in [1] if k == 2 else range(k):
        area, pairs = _wins(probabilities[:, label], outcomes.labels == label, by_row)
        np.divide(area, pairs, out=area, where=pairs > 0)
        total += area
        defined += pairs > 0
    values = np.full_like(total, np.nan)
    np.divide(total, defined, out=values, where=defined > 0)
    if weights.ndim == 1 and not defined[0]:
        raise MeasureError("roc_auc: all labels are of one class, so there is no curve")
    return values.reshape(weights.shape[:-1])


def structural_components(outcomes: ClassOutcomes) -> Floats:
    """(rows,) influence values of the AUC; for several classes the mean of theirs. O(rows log rows) a class.

    A row's component is the share of the other side that it beats (a positive) or loses to (a negative).
    Source: DeLong et al. 1988, Biometrics 44:837-845; by ranks as Sun and Xu 2014, IEEE Signal Process.
    Lett. 21:1389-1393. Raises MeasureError where the AUC is not defined.
    """
    check_classes(outcomes)
    probabilities = probabilities_of(outcomes, "roc_auc")
    k = len(outcomes.label_set)
    sides = [(outcomes.labels == label, probabilities[:, label]) for label in ([1] if k == 2 else range(k))]
    defined = [(positive, scores) for positive, scores in sides if 0 < positive.sum() < len(outcomes)]
    if not defined:
        raise MeasureError("roc_auc: all labels are of one class, so there is no curve")
    total = np.zeros(len(outcomes))
    for positive, scores in defined:
        total += _components(scores, positive) / len(defined)
    return total


def _components(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """(rows,) of one class against the rest, scaled to DeLong's variance with its denominators m - 1."""
    values = np.empty(len(scores))
    for own_side in (positive, ~positive):
        other_scores, size = np.sort(scores[~own_side]), int(own_side.sum())
        below = np.searchsorted(other_scores, scores[own_side], side="left")
        upto = np.searchsorted(other_scores, scores[own_side], side="right")
        beaten = (below + upto) / (2 * len(other_scores))
        # a high score helps a positive and harms a negative
        sign = 1.0 if own_side is positive else -1.0
        values[own_side] = sign * (beaten - beaten.mean()) * len(scores) / np.sqrt(size * max(size - 1, 1))
    return values


def _wins(scores: Floats, positive: npt.NDArray[np.bool_], by_row: Floats) -> tuple[Floats, Floats]:
    """Weight of (positive, negative) pairs that the positive wins, and of all such pairs: (resamples,) each.

    by_row: (rows, resamples), so that picking rows copies whole lines of memory.
    """
    ours = np.flatnonzero(positive)
    ours = ours[np.argsort(scores[ours], kind="stable")]
    losers = np.flatnonzero(~positive)
    # below[i] is the weight of the i positives that score lowest
    below = np.zeros((len(ours) + 1, by_row.shape[1]))
    np.cumsum(by_row[ours], axis=0, out=below[1:])
    lower = np.searchsorted(scores[ours], scores[losers], side="left")
    upto = np.searchsorted(scores[ours], scores[losers], side="right")
    lost = _weighted_lines(by_row, losers, below, lower)
    tied = lower != upto
    half = _weighted_lines(by_row, losers[tied], below, upto[tied])
    half -= _weighted_lines(by_row, losers[tied], below, lower[tied])
    pairs = below[-1] * by_row[losers].sum(axis=0)
    return pairs - lost - half / 2, pairs


def _weighted_lines(
    by_row: Floats, rows: npt.NDArray[np.intp], below: Floats, at: npt.NDArray[np.intp]
) -> Floats:
    """Σ over rows of by_row[row] * below[at]: (resamples,)."""
    return np.asarray(np.einsum("ij,ij->j", by_row[rows], below[at]))


METRICS: Mapping[str, Metric] = {
    "roc_auc": Metric(
        name="roc_auc",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="probabilities",
        statistic=roc_auc,
        influence=structural_components,
        influence_name="DeLong",
        over_labels=True,
    )
}
