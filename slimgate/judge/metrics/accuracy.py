"""Accuracy: the share of rows whose prediction is the label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric, check_classes
from slimgate.judge.metrics.confusion import class_counts, statistic_of
from slimgate.outcomes import ClassOutcomes, Floats


def right_rows(outcomes: ClassOutcomes) -> Floats:
    """(rows,) 1.0 where the prediction is the label, else 0.0."""
    check_classes(outcomes)
    return np.asarray(outcomes.predictions == outcomes.labels, dtype=np.float64)


def share_right(counts: Floats) -> Floats:
    """(…, classes, classes) counts -> (…,) fraction in [0, 1]."""
    by_class = class_counts(counts)
    return np.asarray(by_class.right.sum(axis=-1) / by_class.labelled.sum(axis=-1))


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(
        name="accuracy",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="prediction",
        statistic=statistic_of(share_right),
        from_confusion=share_right,
        per_row=right_rows,
    )
}
