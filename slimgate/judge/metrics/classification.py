"""Metrics of the predicted class: accuracy, precision, recall, F1, balanced accuracy, Matthews' coefficient.

Precision, recall and F1 are scores of a class. Each gives four metrics:

| name            | is                                                                          |
|-----------------|-----------------------------------------------------------------------------|
| score           | two classes only: the score of class index 1                                |
| score_macro     | plain mean over the labels that rows have                                   |
| score_micro     | one row, one label: the same as accuracy, and judged as accuracy is         |
| score_weighted  | mean weighted by labelled rows                                              |

These are scikit-learn's values if its `labels` are the labels that rows have; 0/0 is 0. A label that no row
has is no class of a mean, even if a model predicts it. Otherwise the means of the two models would be over
different classes. Such a prediction counts as wrong. A label of the task that no row has prevents a PASS
(quality.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import FromConfusion, Metric, PerRow, RowMean, check_classes, get_share_ends
from slimgate.judge.metrics.confusion import (
    ClassCounts,
    compute_confusion,
    divide_or_zero,
    make_binary_statistic,
    make_class_counts,
    make_statistic,
)
from slimgate.outcomes import ClassOutcomes, Floats

PerClass = Callable[[ClassCounts], Floats]


def mark_right_rows(outcomes: ClassOutcomes) -> Floats:
    """(rows,) 1.0 if the prediction is the label, else 0.0."""
    check_classes(outcomes)
    return np.asarray(outcomes.predictions == outcomes.labels, dtype=np.float64)


def compute_share_right(counts: Floats) -> Floats:
    """(…, classes, classes) counts -> (…,) fraction in [0, 1]."""
    by_class = make_class_counts(counts)
    return np.asarray(by_class.right.sum(axis=-1) / by_class.labelled.sum(axis=-1))


def compute_mean_recall(counts: Floats) -> Floats:
    """Balanced accuracy: (…, classes, classes) counts -> (…,) fraction in [0, 1].

    Classes without labelled rows are left out, as scikit-learn's balanced_accuracy_score does.
    """
    by_class = make_class_counts(counts)
    return np.asarray(compute_recalls(by_class).sum(axis=-1) / (by_class.labelled > 0).sum(axis=-1))


def compute_matthews(counts: Floats) -> Floats:
    """Matthews' correlation coefficient: (…, classes, classes) counts -> (…,) in [-1, 1].

    It is 0 if labels or predictions are all one class.

    Source: Gorodkin 2004 (R_K), as scikit-learn's matthews_corrcoef computes it.
    """
    by_class = make_class_counts(counts)
    rows = by_class.labelled.sum(axis=-1)
    joint = by_class.right.sum(axis=-1) * rows - (by_class.labelled * by_class.predicted).sum(axis=-1)
    labels = rows**2 - (by_class.labelled**2).sum(axis=-1)
    predictions = rows**2 - (by_class.predicted**2).sum(axis=-1)
    return divide_or_zero(joint, np.sqrt(labels) * np.sqrt(predictions))


def _compute_matthews_of_labels(outcomes: ClassOutcomes, weights: Floats) -> Floats:
    """The statistic of mcc. Raises MeasureError for one label: it is then 0 for every model."""
    if len(outcomes.label_set) == 1:
        raise MeasureError(
            f"mcc is 0 for every model if all rows have one label, here {outcomes.label_set[0]}; add rows of "
            "another label"
        )
    return compute_matthews(compute_confusion(outcomes, weights))


def compute_f1s(by_class: ClassCounts) -> Floats:
    """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall: (…, classes) in [0, 1]."""
    return divide_or_zero(2 * by_class.right, by_class.labelled + by_class.predicted)


def compute_precisions(by_class: ClassCounts) -> Floats:
    """The share of the rows predicted as a class that are of it: (…, classes) in [0, 1]."""
    return divide_or_zero(by_class.right, by_class.predicted)


def compute_recalls(by_class: ClassCounts) -> Floats:
    """The share of the rows labelled as a class that are predicted as it: (…, classes) in [0, 1]."""
    return divide_or_zero(by_class.right, by_class.labelled)


def _mark_positives(outcomes: ClassOutcomes) -> tuple[Floats, Floats]:
    """(rows,) true positives and (rows,) positives; the positives are the same for every model."""
    positive = outcomes.labels == 1
    hits = positive & (outcomes.predictions == 1)
    return hits.astype(np.float64), positive.astype(np.float64)


def _make_averages(score: str, per_class: PerClass) -> Mapping[str, Metric]:
    """The four metrics of a score in [0, 1] that is (…, classes) per class."""

    def binary(counts: Floats) -> Floats:
        return np.asarray(per_class(make_class_counts(counts))[..., 1])

    def macro(counts: Floats) -> Floats:
        by_class = make_class_counts(counts)
        # a class without rows scores 0 by `divide_or_zero`, so the sum needs no mask
        return np.asarray(per_class(by_class).sum(axis=-1) / (by_class.labelled > 0).sum(axis=-1))

    def weighted_mean(counts: Floats) -> Floats:
        by_class = make_class_counts(counts)
        total = (per_class(by_class) * by_class.labelled).sum(axis=-1)
        return np.asarray(total / by_class.labelled.sum(axis=-1))

    metrics = (
        replace(
            _make_metric(score, binary),
            statistic=make_binary_statistic(binary, score),
            binary_only=True,
            of_positive=True,
            over_labels=True,
        ),
        _make_metric(f"{score}_macro", macro, over_labels=True),
        _make_metric(f"{score}_micro", compute_share_right, per_row=mark_right_rows),
        _make_metric(f"{score}_weighted", weighted_mean),
    )
    return {metric.name: metric for metric in metrics}


def _make_metric(
    name: str,
    from_confusion: FromConfusion,
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    per_row: PerRow | None = None,
    over_labels: bool = False,
) -> Metric:
    return Metric(
        name=name,
        higher_is_better=True,
        value_range=value_range,
        needs="prediction",
        statistic=make_statistic(from_confusion),
        from_confusion=from_confusion,
        per_row=per_row,
        over_labels=over_labels,
    )


_RECALL = _make_averages("recall", compute_recalls)

METRICS: Mapping[str, Metric] = {
    "accuracy": _make_metric("accuracy", compute_share_right, per_row=mark_right_rows),
    "balanced_accuracy": _make_metric("balanced_accuracy", compute_mean_recall, over_labels=True),
    "mcc": replace(
        _make_metric("mcc", compute_matthews, value_range=(-1.0, 1.0), over_labels=True),
        statistic=_compute_matthews_of_labels,
    ),
    **_make_averages("f1", compute_f1s),
    **_make_averages("precision", compute_precisions),
    **_RECALL,
    # The recall of the positive label is a mean of 0 and 1 over its rows, and is judged as such. A bootstrap
    # passed a loss of 0.3 % of the rows in 7.5 % of the samples.
    "recall": replace(_RECALL["recall"], row_mean=RowMean(_mark_positives, get_share_ends)),
    # weighted by the rows of each class, it is the share of right rows, which is accuracy
    "recall_weighted": replace(_RECALL["recall_weighted"], per_row=mark_right_rows),
}
