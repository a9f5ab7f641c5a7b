"""Log loss: the mean of -log(probability of the label), in nats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric, check_classes, probabilities_of
from slimgate.judge.metrics.row_sums import mean_of, row_mean, statistic_of_sums
from slimgate.outcomes import ClassOutcomes, Floats

# Models answer in float32; a row can cost no more than this, however broken the model is.
_EPS = float(np.finfo(np.float32).eps)
_WORST = float(-np.log(_EPS))


def row_losses(outcomes: ClassOutcomes) -> Floats:
    """(rows,) nats; probabilities are clipped to at least eps of float32, as scikit-learn does."""
    check_classes(outcomes)
    probabilities = probabilities_of(outcomes, "log_loss")
    true_class = probabilities[np.arange(len(outcomes)), outcomes.labels]
    return np.asarray(-np.log(np.clip(true_class, _EPS, 1.0)))


def _ends(_teacher: ClassOutcomes, _variant: ClassOutcomes) -> tuple[float, float]:
    return 0.0, _WORST


_ROW_SUMS = mean_of(row_losses)

METRICS: Mapping[str, Metric] = {
    "log_loss": Metric(
        name="log_loss",
        higher_is_better=False,
        value_range=(0.0, _WORST),
        needs="probabilities",
        statistic=statistic_of_sums(_ROW_SUMS),
        row_sums=_ROW_SUMS,
        row_mean=row_mean(row_losses, _ends),
    )
}
