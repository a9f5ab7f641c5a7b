"""Retrieval: the rank of a query's first relevant document.

| name           | is, mean over queries                                                                  |
|----------------|----------------------------------------------------------------------------------------|
| recall_at_k    | 1 if one of the first k documents is relevant (also called hit rate, accuracy at k)     |
| mrr            | 1 / rank of the first relevant document (Voorhees 1999)                                 |
| ndcg_at_10     | gain of the first 10, discounted by log2 of the place, over the best possible           |

With one relevant document per query, recall_at_k is recall in its usual sense; with several it is the
recall of metric learning (Jégou et al. 2011; Oh Song et al. 2016, section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from slimgate.judge.metrics.base import Metric, get_share_ends, make_row_mean, mean_of, statistic_of_sums
from slimgate.outcomes import Floats, Outcomes

RANK = "rank"
NDCG = "ndcg_at_10"
DEPTHS = (1, 5, 10)


def make_recall_at(depth: int) -> Callable[[Outcomes], Floats]:
    """(queries,) 1.0 if the first relevant document is among the first `depth`, else 0.0."""
    return lambda outcomes: np.asarray(outcomes.column(RANK) <= depth, dtype=np.float64)


def _make_metric(
    name: str, needs: str, values: Callable[[Outcomes], Floats], *, binary: bool = False
) -> Metric:
    sums = mean_of(values)
    return Metric(
        name=name,
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs=needs,
        statistic=statistic_of_sums(sums),
        row_sums=sums,
        row_mean=make_row_mean(values, get_share_ends),
        per_row=values if binary else None,
    )


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *(_make_metric(f"recall_at_{k}", RANK, make_recall_at(k), binary=True) for k in DEPTHS),
        _make_metric("mrr", RANK, lambda outcomes: np.asarray(1 / outcomes.column(RANK))),
        _make_metric(NDCG, NDCG, lambda outcomes: outcomes.column(NDCG)),
    )
}
