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

from slimgate.judge.metrics.base import (
    Correlated,
    Metric,
    Statistic,
    check_weights,
    make_row_mean,
    mean_of,
    statistic_of_sums,
)
from slimgate.outcomes import Floats, Outcomes

# (…, rows) weights -> (rows,) or (…, rows) values that are correlated
ValuesUnder = Callable[[Floats], Floats]


def prepare_values(scores: Floats) -> ValuesUnder:
    """Prepares scores (rows,) for Pearson's correlation: their values, whatever the weights."""
    centred: Floats = scores - scores.mean()
    return lambda _weights: centred


def prepare_ranks(scores: Floats) -> ValuesUnder:
    """Prepares scores (rows,) for Spearman's correlation: their ranks among the weighted rows.

    A rank is the middle of the places that a row's equal scores take, from 0 to the sum of the weights.
    Scores that differ in their last digit are not equal.
    """
    order = np.argsort(scores, kind="stable")
    rising = scores[order]
    first = np.searchsorted(rising, rising, side="left")
    last = np.searchsorted(rising, rising, side="right") - 1

    def ranks_under(weights: Floats) -> Floats:
        by_place = weights[..., order]
        upto = np.cumsum(by_place, axis=-1)
        below = upto[..., first] - by_place[..., first]
        ranks = np.empty_like(upto)
        ranks[..., order] = (below + upto[..., last]) / 2
        return ranks

    return ranks_under


def compute_correlation(first: Floats, second: Floats, weights: Floats) -> Floats:
    """(…,) the correlation under each weighting; NaN if one side does not vary.

    first, second: (rows,) or (…, rows); weights: (…, rows).
    """
    total = weights.sum(axis=-1, keepdims=True)
    a = first - (weights * first).sum(axis=-1, keepdims=True) / total
    b = second - (weights * second).sum(axis=-1, keepdims=True) / total
    product = (weights * a**2).sum(axis=-1) * (weights * b**2).sum(axis=-1)
    values = np.full(product.shape, np.nan)
    np.divide((weights * a * b).sum(axis=-1), np.sqrt(product), out=values, where=product > 0)
    return np.clip(values, -1.0, 1.0)


OfErrors = Callable[[Floats], Floats]


def read_gold_and_scores(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """(rows,) gold and (rows,) scores of the model."""
    return outcomes.column("gold"), outcomes.column("score")


def pearson(outcomes: Outcomes, weights: Floats) -> Floats:
    """Weighted correlation: (…, rows) weights -> (…,); 0 if all values with a weight are equal."""
    return _correlate(outcomes, weights, prepare_values)


def spearman(outcomes: Outcomes, weights: Floats) -> Floats:
    """The same for ranks among the weighted rows; equal values share the middle of their ranks."""
    return _correlate(outcomes, weights, prepare_ranks)


def _correlate(outcomes: Outcomes, weights: Floats, prepare: Callable[[Floats], ValuesUnder]) -> Floats:
    check_weights(outcomes, weights)
    gold, scores = (prepare(column)(weights) for column in read_gold_and_scores(outcomes))
    return np.asarray(np.nan_to_num(compute_correlation(gold, scores, weights)))


def _make_correlation_metric(correlated: Correlated, statistic: Statistic) -> Metric:
    return Metric(
        name=correlated.kind,
        higher_is_better=True,
        value_range=(-1.0, 1.0),
        needs="score",
        statistic=statistic,
        correlated=correlated,
    )


def _make_error_metric(name: str, of_errors: OfErrors) -> Metric:
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
        row_mean=replace(make_row_mean(rows, ends), cap=span),
    )


METRICS: Mapping[str, Metric] = {
    "pearson": _make_correlation_metric(Correlated("pearson", read_gold_and_scores), pearson),
    "spearman": _make_correlation_metric(Correlated("spearman", read_gold_and_scores), spearman),
    "mse": _make_error_metric("mse", np.square),
    "mae": _make_error_metric("mae", np.abs),
}
