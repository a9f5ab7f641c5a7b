"""Token accuracy: the share of tokens that a language model holds the likeliest at their place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric, RowMean, RowSums
from slimgate.judge.metrics.row_sums import share, statistic_of_sums
from slimgate.outcomes import Floats, Outcomes


def _terms(outcomes: Outcomes) -> Floats:
    return np.stack([outcomes.column("right_tokens"), outcomes.column("tokens")], axis=1)


_SUMS = RowSums(_terms, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))

METRICS: Mapping[str, Metric] = {
    "token_accuracy": Metric(
        name="token_accuracy",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="right_tokens",
        statistic=statistic_of_sums(_SUMS),
        row_sums=_SUMS,
        row_mean=RowMean(
            lambda outcomes: (outcomes.column("right_tokens"), outcomes.column("tokens")), share
        ),
        alike=("tokens",),
    )
}
