"""Balanced accuracy: the mean of the classes' recalls, each class counting the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.confusion import class_counts, ratio, statistic_of
from slimgate.outcomes import Floats


def mean_recall(counts: Floats) -> Floats:
    """(…, classes, classes) counts -> (…,) fraction in [0, 1].

    Classes without labelled rows are left out, as scikit-learn's balanced_accuracy_score does.
    """
    by_class = class_counts(counts)
    recalls = ratio(by_class.right, by_class.labelled)
    return np.asarray(recalls.sum(axis=-1) / (by_class.labelled > 0).sum(axis=-1))


METRICS: Mapping[str, Metric] = {
    "balanced_accuracy": Metric(
        name="balanced_accuracy",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="prediction",
        statistic=statistic_of(mean_recall),
        from_confusion=mean_recall,
        over_labels=True,
    )
}
