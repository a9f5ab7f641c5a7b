"""Precision: of the rows predicted as a class, the share that are of it; 0 where none was predicted."""

from __future__ import annotations

from collections.abc import Mapping

from slimgate.judge.metrics.averages import make_averages
from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.confusion import ClassCounts, ratio
from slimgate.outcomes import Floats


def precisions(by_class: ClassCounts) -> Floats:
    """(…, classes) fractions in [0, 1]."""
    return ratio(by_class.right, by_class.predicted)


METRICS: Mapping[str, Metric] = make_averages("precision", precisions)
