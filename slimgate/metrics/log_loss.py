"""Log loss: the mean of -log(probability of the label), in nats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.metrics.base import Metric, check_classes, probabilities_of
from slimgate.metrics.row_sums import mean_of, row_mean, statistic_of_sums
from slimgate.outcomes import ClassOutcomes, Floats


def row_losses(outcomes: ClassOutcomes) -> Floats:
    """(rows,) nats; probabilities are clipped to [eps, 1 - eps] of float64, as scikit-learn does."""
    check_classes(outcomes)
    probabilities = probabilities_of(outcomes, "log_loss")
    eps = np.finfo(np.float64).eps
    own = probabilities[np.arange(len(outcomes)), outcomes.labels]
    return np.asarray(-np.log(np.clip(own, eps, 1 - eps)))


def ends(teacher: ClassOutcomes, variant: ClassOutcomes) -> tuple[float, float]:
    """0, and the loss of the surest answer of either model if it were wrong: no row costs more."""
    found = []
    for outcomes in (teacher, variant):
        surest = float(probabilities_of(outcomes, "log_loss").max())
        found += [-np.log(max(1 - surest, np.finfo(np.float64).eps)), row_losses(outcomes).max()]
    return 0.0, float(max(found))


_ROW_SUMS = mean_of(row_losses)

METRICS: Mapping[str, Metric] = {
    "log_loss": Metric(
        name="log_loss",
        higher_is_better=False,
        value_range=(0.0, float(-np.log(np.finfo(np.float64).eps))),
        needs="probabilities",
        statistic=statistic_of_sums(_ROW_SUMS),
        row_sums=_ROW_SUMS,
        row_mean=row_mean(row_losses, ends),
    )
}
