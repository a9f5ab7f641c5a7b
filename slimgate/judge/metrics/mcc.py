"""Matthews correlation coefficient, for any number of classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.confusion import class_counts, ratio, statistic_of
from slimgate.outcomes import Floats


def matthews(counts: Floats) -> Floats:
    """(…, classes, classes) counts -> (…,) in [-1, 1]; 0 where labels or predictions are all one class.

    Source: Gorodkin 2004 (R_K), as scikit-learn's matthews_corrcoef computes it.
    """
    by_class = class_counts(counts)
    rows = by_class.labelled.sum(axis=-1)
    joint = by_class.right.sum(axis=-1) * rows - (by_class.labelled * by_class.predicted).sum(axis=-1)
    labels = rows**2 - (by_class.labelled**2).sum(axis=-1)
    predictions = rows**2 - (by_class.predicted**2).sum(axis=-1)
    return ratio(joint, np.sqrt(labels) * np.sqrt(predictions))


METRICS: Mapping[str, Metric] = {
    "mcc": Metric(
        name="mcc",
        higher_is_better=True,
        value_range=(-1.0, 1.0),
        needs="prediction",
        statistic=statistic_of(matthews),
        from_confusion=matthews,
        over_labels=True,
    )
}
