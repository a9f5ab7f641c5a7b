"""Brier score: the mean squared distance between a row's probabilities and its label's 1 and 0s."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric, check_classes, probabilities_of
from slimgate.judge.metrics.row_sums import mean_of, row_mean, statistic_of_sums
from slimgate.outcomes import ClassOutcomes, Floats


def row_scores(outcomes: ClassOutcomes) -> Floats:
    """(rows,) in [0, 1] for two classes, in [0, 2] for more.

    With more than two classes the sum over classes, Brier's own; with two the half of it, which is
    (1 - probability of the label)². So scikit-learn's brier_score_loss with scale_by_half="auto".
    Source: Brier 1950, Mon. Weather Rev. 78:1-3.
    """
    check_classes(outcomes)
    probabilities = probabilities_of(outcomes, "brier")
    true_class = probabilities[np.arange(len(outcomes)), outcomes.labels]
    distance = np.einsum("ij,ij->i", probabilities, probabilities) - 2 * true_class + 1
    # a sum of squares, which rounding may leave below 0
    distances = np.maximum(distance, 0)
    return np.asarray(distances / 2 if len(outcomes.label_set) == 2 else distances)


def _ends(teacher: ClassOutcomes, _variant: ClassOutcomes) -> tuple[float, float]:
    return 0.0, 1.0 if len(teacher.label_set) == 2 else 2.0


_ROW_SUMS = mean_of(row_scores)

METRICS: Mapping[str, Metric] = {
    "brier": Metric(
        name="brier",
        higher_is_better=False,
        value_range=(0.0, 2.0),
        needs="probabilities",
        statistic=statistic_of_sums(_ROW_SUMS),
        row_sums=_ROW_SUMS,
        row_mean=row_mean(row_scores, _ends),
    )
}
