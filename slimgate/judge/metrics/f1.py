"""F1: the harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); 0 where that is 0/0."""

from __future__ import annotations

from collections.abc import Mapping

from slimgate.judge.metrics.averages import make_averages
from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.confusion import ClassCounts, ratio
from slimgate.outcomes import Floats


def f1s(by_class: ClassCounts) -> Floats:
    """(…, classes) fractions in [0, 1]."""
    return ratio(2 * by_class.right, by_class.labelled + by_class.predicted)


METRICS: Mapping[str, Metric] = make_averages("f1", f1s)
