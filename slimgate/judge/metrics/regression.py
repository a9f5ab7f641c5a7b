"""Metrics of scores compared with gold scores: Pearson, Spearman, mean squared and absolute error.

Both correlations are 0 if one side has one value only. Source: Cer et al. 2017 (SemEval-2017 task 1),
section 5.

Errors are in the unit of the gold scores (mse: squared) and have no upper end. A row counts for a change of
at most the cap, by default the error from one end of the gold scores to the other. The share of rows that
lose more is judged too; see `slimgate/judge/capped.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf

import numpy as np

from slimgate.judge.metrics.base import Correlated, Metric, Statistic, check_weights
from slimgate.judge.metrics.row_sums import mean_of, row_mean, statistic_of_sums
from slimgate.outcomes import Floats, Outcomes

OfErrors = Callable[[Floats], Floats]


def gold_and_scores(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """(rows,) gold and (rows,) scores of the model."""
    return outcomes.column("gold"), outcomes.column("score")


def pearson(outcomes: Outcomes, weights: Floats) -> Floats:
    """Weighted correlation: (…, rows) weights -> (…,)."""
    check_weights(outcomes, weights)
    gold, scores = gold_and_scores(outcomes)
    return _correlation(gold - gold.mean(), scores - scores.mean(), weights)


def spearman(outcomes: Outcomes, weights: Floats) -> Floats:
    """The same for ranks among the weighted rows; equal values share the middle of their ranks."""
    check_weights(outcomes, weights)
    gold, scores = gold_and_scores(outcomes)
    return _correlation(_ranks(gold, weights), _ranks(scores, weights), weights)


def _ranks(values: Floats, weights: Floats) -> Floats:
    """(…, rows) the middle of the places that a row's equal values take, from 0 to the sum of the weights."""
    order = np.argsort(values, kind="stable")
    rising = values[order]
    first = np.searchsorted(rising, rising, side="left")
    last = np.searchsorted(rising, rising, side="right") - 1
    upto = np.cumsum(weights[..., order], axis=-1)
    below = upto[..., first] - weights[..., order][..., first]
    ranks = np.empty_like(upto)
    ranks[..., order] = (below + upto[..., last]) / 2
    return ranks


def _correlation(first: Floats, second: Floats, weights: Floats) -> Floats:
    """first, second: (rows,) or (…, rows)."""
    total = weights.sum(axis=-1, keepdims=True)
    a = first - (weights * first).sum(axis=-1, keepdims=True) / total
    b = second - (weights * second).sum(axis=-1, keepdims=True) / total
    product = (weights * a**2).sum(axis=-1) * (weights * b**2).sum(axis=-1)
    correlation = np.zeros(product.shape)
    np.divide((weights * a * b).sum(axis=-1), np.sqrt(product), out=correlation, where=product > 0)
    return np.clip(correlation, -1.0, 1.0)


def _correlation_metric(correlated: Correlated, statistic: Statistic) -> Metric:
    return Metric(
        name=correlated.kind,
        higher_is_better=True,
        value_range=(-1.0, 1.0),
        needs="score",
        statistic=statistic,
        correlated=correlated,
    )


def _error_metric(name: str, of_errors: OfErrors) -> Metric:
    def rows(outcomes: Outcomes) -> Floats:
        return of_errors(outcomes.column("score") - outcomes.column("gold"))

    def ends(_teacher: Outcomes, _variant: Outcomes) -> tuple[float, float]:
        return 0.0, inf

    def span(teacher: Outcomes, _variant: Outcomes) -> float:
        """From one end of the gold scores to the other."""
        width = float(of_errors(np.ptp(teacher.column("gold"), keepdims=True))[0])
        return width if width > 0 else 1.0

    row_sums = mean_of(rows)
    return Metric(
        name=name,
        higher_is_better=False,
        value_range=(0.0, inf),
        needs="score",
        statistic=statistic_of_sums(row_sums),
        row_sums=row_sums,
        row_mean=replace(row_mean(rows, ends), cap=span),
    )


METRICS: Mapping[str, Metric] = {
    "pearson": _correlation_metric(Correlated("pearson", gold_and_scores), pearson),
    "spearman": _correlation_metric(Correlated("spearman", gold_and_scores), spearman),
    "mse": _error_metric("mse", np.square),
    "mae": _error_metric("mae", np.abs),
}
