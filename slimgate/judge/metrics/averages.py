"""A per-class score -> its four metrics: binary, macro, micro and weighted.

| name            | is                                                                          |
|-----------------|-----------------------------------------------------------------------------|
| score           | two classes only: the score of class index 1                                |
| score_macro     | plain mean over the labels that rows have                                   |
| score_micro     | one row, one label: the same as accuracy, and judged as accuracy is         |
| score_weighted  | mean weighted by labelled rows                                              |

As scikit-learn does when `labels` are those of the rows. A prediction that is no row's label is wrong, and no
class of its own: it would count in the model that says it and not in the other. A label that no row has is
left out of the value, and keeps the judge from a PASS (quality.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from slimgate.judge.metrics.accuracy import right_rows, share_right
from slimgate.judge.metrics.base import FromConfusion, Metric, PerRow
from slimgate.judge.metrics.confusion import ClassCounts, binary_statistic, class_counts, statistic_of
from slimgate.outcomes import Floats

PerClass = Callable[[ClassCounts], Floats]


def make_averages(score: str, per_class: PerClass) -> Mapping[str, Metric]:
    """The four metrics of a score in [0, 1] that is (…, classes) per class."""

    def binary(counts: Floats) -> Floats:
        return np.asarray(per_class(class_counts(counts))[..., 1])

    def macro(counts: Floats) -> Floats:
        by_class = class_counts(counts)
        # a class without rows scores 0 by `ratio`, so the sum needs no mask
        return np.asarray(per_class(by_class).sum(axis=-1) / (by_class.labelled > 0).sum(axis=-1))

    def weighted_mean(counts: Floats) -> Floats:
        by_class = class_counts(counts)
        total = (per_class(by_class) * by_class.labelled).sum(axis=-1)
        return np.asarray(total / by_class.labelled.sum(axis=-1))

    metrics = (
        replace(
            _metric(score, binary),
            statistic=binary_statistic(binary, score),
            binary_only=True,
            of_positive=True,
            over_labels=True,
        ),
        replace(_metric(f"{score}_macro", macro), over_labels=True),
        _metric(f"{score}_micro", share_right, per_row=right_rows),
        _metric(f"{score}_weighted", weighted_mean),
    )
    return {metric.name: metric for metric in metrics}


def _metric(name: str, from_confusion: FromConfusion, *, per_row: PerRow | None = None) -> Metric:
    return Metric(
        name=name,
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="prediction",
        statistic=statistic_of(from_confusion),
        from_confusion=from_confusion,
        per_row=per_row,
    )
