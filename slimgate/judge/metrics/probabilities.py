"""Metrics of predicted probabilities: Brier score, log loss and expected calibration error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import (
    Metric,
    RowSums,
    check_classes,
    make_row_mean,
    mean_of,
    read_probabilities,
    statistic_of_sums,
)
from slimgate.outcomes import ClassOutcomes, Floats, Ints

# Models answer in float32; a row costs no more than this, however broken the model is.
_EPS = float(np.finfo(np.float32).eps)
_WORST = float(-np.log(_EPS))
BINS = 15


def compute_brier_scores(outcomes: ClassOutcomes) -> Floats:
    """The squared distance between a row's probabilities and its label's 1 and 0s.

    (rows,) in [0, 1] for two classes, in [0, 2] for more.

    With more than two classes it is the sum over classes, as Brier defines it. With two classes it is half of
    that sum, (1 - probability of the label)², as in scikit-learn's brier_score_loss with
    scale_by_half="auto".
    Source: Brier 1950, Mon. Weather Rev. 78:1-3.
    """
    check_classes(outcomes)
    probabilities = read_probabilities(outcomes, "brier")
    true_class = probabilities[np.arange(len(outcomes)), outcomes.labels]
    distance = np.einsum("ij,ij->i", probabilities, probabilities) - 2 * true_class + 1
    # a sum of squares, which rounding may leave below 0
    distances = np.maximum(distance, 0)
    return np.asarray(distances / 2 if len(outcomes.label_set) == 2 else distances)


def compute_row_losses(outcomes: ClassOutcomes) -> Floats:
    """-log(probability of the label): (rows,) nats.

    Probabilities are clipped to at least eps of float32, as scikit-learn does.
    """
    check_classes(outcomes)
    probabilities = read_probabilities(outcomes, "log_loss")
    true_class = probabilities[np.arange(len(outcomes)), outcomes.labels]
    return np.asarray(-np.log(np.clip(true_class, _EPS, 1.0)))


def compute_ece_terms(outcomes: ClassOutcomes) -> Floats:
    """The terms of the expected calibration error.

    (rows, 16): right (1 or 0) minus the confidence, in the column of the row's bin; then a column of ones.

    The confidence is the probability of the prediction. Bins of equal width, each closed above, as in
    Guo et al. 2017 (ICML), section 2.
    """
    check_classes(outcomes)
    probabilities = read_probabilities(outcomes, "ece")
    rows = np.arange(len(outcomes))
    confidence = probabilities[rows, outcomes.predictions]
    gaps = np.zeros((len(outcomes), BINS + 1))
    gaps[rows, find_bins(confidence)] = (outcomes.predictions == outcomes.labels) - confidence
    gaps[:, BINS] = 1.0
    return gaps


def find_bins(confidence: Floats) -> Ints:
    """(rows,) confidences -> (rows,) the bin that each falls in."""
    # the ends are i / 15, so that a confidence of exactly 0.2 or 0.6 falls on its end
    return np.asarray(np.searchsorted(np.arange(1, BINS) / BINS, confidence, side="left"))


def compute_ece(sums: Floats) -> Floats:
    """(…, 16) sums -> (…,) mean over rows of their bin's |accuracy - confidence|, in [0, 1]."""
    return np.asarray(np.abs(sums[..., :BINS]).sum(axis=-1) / sums[..., BINS])


_BRIER = mean_of(compute_brier_scores)
_LOSS = mean_of(compute_row_losses)
_ECE = RowSums(compute_ece_terms, compute_ece)

METRICS: Mapping[str, Metric] = {
    "brier": Metric(
        name="brier",
        higher_is_better=False,
        value_range=(0.0, 2.0),
        needs="probabilities",
        statistic=statistic_of_sums(_BRIER),
        row_sums=_BRIER,
        row_mean=make_row_mean(
            compute_brier_scores,
            lambda teacher, _variant: (0.0, 1.0 if len(teacher.label_set) == 2 else 2.0),
        ),
    ),
    "log_loss": Metric(
        name="log_loss",
        higher_is_better=False,
        value_range=(0.0, _WORST),
        needs="probabilities",
        statistic=statistic_of_sums(_LOSS),
        row_sums=_LOSS,
        row_mean=make_row_mean(compute_row_losses, lambda *_: (0.0, _WORST)),
    ),
    "ece": Metric(
        name="ece",
        higher_is_better=False,
        value_range=(0.0, 1.0),
        needs="probabilities",
        statistic=statistic_of_sums(_ECE, in_blocks=True),
        row_sums=_ECE,
        resampled=False,
        # With few rows in a bin the sample's value is too large, more so for a calibrated teacher than for an
        # overconfident variant: half of a true drop of 2 points was measured, and 27 to 57 % of simulated
        # runs passed.
        no_budget="is biased in a sample, so its drop cannot be judged; put the budget on brier or log_loss",
    ),
}
