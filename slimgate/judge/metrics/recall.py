"""Recall: of the rows labelled as a class, the share predicted as it; 0 where none is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from slimgate.judge.metrics.accuracy import right_rows
from slimgate.judge.metrics.averages import make_averages
from slimgate.judge.metrics.base import Metric, RowMean
from slimgate.judge.metrics.confusion import ClassCounts, ratio
from slimgate.outcomes import ClassOutcomes, Floats


def recalls(by_class: ClassCounts) -> Floats:
    """(…, classes) fractions in [0, 1]."""
    return ratio(by_class.right, by_class.labelled)


def _positives(outcomes: ClassOutcomes) -> tuple[Floats, Floats]:
    """(rows,) found positives and (rows,) positives; every model has as many."""
    positive = outcomes.labels == 1
    hits = positive & (outcomes.predictions == 1)
    return hits.astype(np.float64), positive.astype(np.float64)


_ALL = make_averages("recall", recalls)
# Each row that can count does so by 0 or 1. A bootstrap passed a loss of 0.3 % of the rows 7.5 % of the time.
METRICS: Mapping[str, Metric] = {
    **_ALL,
    "recall": replace(_ALL["recall"], row_mean=RowMean(_positives, ends=lambda *_: (0.0, 1.0))),
    # classes weighted by their rows: the share of right rows, which is accuracy
    "recall_weighted": replace(_ALL["recall_weighted"], per_row=right_rows),
}
