"""Expected calibration error: how far the confidence in the predictions is from how often they are right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric, RowSums, check_classes, probabilities_of
from slimgate.judge.metrics.row_sums import statistic_of_sums
from slimgate.outcomes import ClassOutcomes, Floats, Ints

BINS = 15


def terms(outcomes: ClassOutcomes) -> Floats:
    """(rows, 16): 1 or 0 for right less the confidence, in the column of the row's bin; then ones.

    The confidence is the probability of the prediction. Bins of equal width, each closed above, as in
    Guo et al. 2017 (ICML), section 2.
    """
    check_classes(outcomes)
    probabilities = probabilities_of(outcomes, "ece")
    rows = np.arange(len(outcomes))
    confidence = probabilities[rows, outcomes.predictions]
    gaps = np.zeros((len(outcomes), BINS + 1))
    gaps[rows, bin_of(confidence)] = (outcomes.predictions == outcomes.labels) - confidence
    gaps[:, BINS] = 1.0
    return gaps


def bin_of(confidence: Floats) -> Ints:
    """(rows,) confidences -> (rows,) the bin that each falls in."""
    # ends as i / 15, so that a confidence of exactly 0.2 or 0.6 falls on its end
    return np.asarray(np.searchsorted(np.arange(1, BINS) / BINS, confidence, side="left"))


def value(sums: Floats) -> Floats:
    """(…, 16) sums -> (…,) mean over rows of their bin's |accuracy - confidence|, in [0, 1]."""
    return np.asarray(np.abs(sums[..., :BINS]).sum(axis=-1) / sums[..., BINS])


_ROW_SUMS = RowSums(terms, value)

METRICS: Mapping[str, Metric] = {
    "ece": Metric(
        name="ece",
        higher_is_better=False,
        value_range=(0.0, 1.0),
        needs="probabilities",
        statistic=statistic_of_sums(_ROW_SUMS, in_blocks=True),
        row_sums=_ROW_SUMS,
        resampled=False,
        # few rows a bin make it too large, that of a calibrated teacher more than that of a surer variant: of
        # a true drop of 2 points half was measured, and PASS came in 27 to 57 % of simulated runs
        no_budget="is biased in a sample, so its drop cannot be judged; put the budget on brier or log_loss",
    )
}
