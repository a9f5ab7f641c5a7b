"""Recall: of the rows labelled as a class, the share predicted as it; 0 where none is labelled."""

from __future__ import annotations

from collections.abc import Mapping

from slimgate.judge.metrics.averages import make_averages
from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.confusion import ClassCounts, ratio
from slimgate.outcomes import Floats


def recalls(by_class: ClassCounts) -> Floats:
    """(…, classes) fractions in [0, 1]."""
    return ratio(by_class.right, by_class.labelled)


METRICS: Mapping[str, Metric] = make_averages("recall", recalls)
