"""Checks that a metric's statistic follows its weights, and that every other form of it gives the same value.

The judge reads these forms (`per_row`, `row_sums`, `influence`, …) in place of the statistic.
"""

from __future__ import annotations

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import (
    Influence,
    Metric,
    call_by_row,
    call_statistic,
    compute_row_values,
    compute_value,
    convert_plugin_errors,
)
from slimgate.judge.metrics.confusion import compute_confusion
from slimgate.judge.metrics.regression import compute_correlation, prepare_ranks, prepare_values
from slimgate.outcomes import ClassOutcomes, Floats, Outcomes

# The check of influence values moves the weights by _STEP in random directions. With few directions, the
# parts of few rows may cancel out by chance. So there are more if they are cheap, for at most _CHEAP weights.
_DIRECTIONS = 4
_MOST_DIRECTIONS = 64
_CHEAP = 2**18
_STEP = 1e-3
# The largest allowed difference between the measured and the stated influence, as a share.
_INFLUENCE_ERROR = 0.35
# The two sets of weights of the check of a metric's fields, in the words of its errors.
_WEIGHT_SETS = ("", ", with rows that weigh 1 or 2,")


def check_same_value(metric: Metric, outcomes: Outcomes, value: float) -> None:
    """Raises MeasureError if what the judge reads in place of the statistic gives another value than it.

    Then the interval and the verdict would be of another figure than the value that they are shown with. The
    values must also be equal if some rows count twice, because only that shows that each row has its own
    value. Both sets of weights go in at once, as those of the judge do.
    """
    weights, values = np.ones((2, len(outcomes))), [value, value]
    if metric.resampled:
        weights[1] += np.random.default_rng(0).integers(0, 2, size=len(outcomes))
        values[1] = float(call_statistic(metric, outcomes, weights[1]))
    for name, figures in _compute_by_field(metric, outcomes, weights).items():
        if np.shape(figures) != (2,):
            raise MeasureError(
                f"{metric.name}: its {name} returned the shape {np.shape(figures)} for two sets of counts or "
                f"sums at once, expected (2,); see `{name}` in slimgate/judge/metrics/base.py"
            )
        for weight_set, by_statistic, figure in zip(_WEIGHT_SETS, values, figures, strict=True):
            if not np.isclose(figure, by_statistic, rtol=1e-6, atol=1e-9):
                raise MeasureError(
                    f"{metric.name}{weight_set} is {by_statistic:.6g} by its statistic, but {figure:.6g} by "
                    f"its {name}, which the verdict is computed from; correct one of them, see `{name}` in "
                    "slimgate/judge/metrics/base.py"
                )
    if metric.influence is not None:
        _check_influence(metric, metric.influence, outcomes, value)


def _compute_by_field(metric: Metric, outcomes: Outcomes, weights: Floats) -> dict[str, Floats]:
    """The values by each of the fields that the judge reads. weights: (sets, rows)."""
    figures: dict[str, Floats] = {}
    if metric.per_row is not None:
        figures["per_row"] = weights @ compute_row_values(metric, outcomes) / weights.sum(axis=1)
    if metric.row_mean is not None:
        with convert_plugin_errors(metric, "row_mean"):
            amounts, sizes = metric.row_mean.of(outcomes)
            figures["row_mean"] = (weights @ amounts) / (weights @ sizes)
    elif metric.row_sums is not None and metric.per_row is None:
        with convert_plugin_errors(metric, "row_sums"):
            figures["row_sums"] = metric.row_sums.value(weights @ metric.row_sums.terms(outcomes))
    if metric.documents is not None:
        with convert_plugin_errors(metric, "documents"):
            nats, tokens = metric.documents.of(outcomes)
            figures["documents"] = np.exp((weights @ nats) / (weights @ tokens))
    if metric.correlated is not None:
        prepare = prepare_ranks if metric.correlated.kind == "spearman" else prepare_values
        with convert_plugin_errors(metric, "correlated"):
            gold, scores = (prepare(side)(weights) for side in metric.correlated.of(outcomes))
            figures["correlated"] = compute_correlation(gold, scores, weights)
    if metric.from_confusion is not None and isinstance(outcomes, ClassOutcomes):
        counts = compute_confusion(outcomes, weights)
        with convert_plugin_errors(metric, "from_confusion"):
            figures["from_confusion"] = metric.from_confusion(counts)
    return figures


def check_follows_weights(metric: Metric, outcomes: Outcomes) -> None:
    """Raises MeasureError if a weight of n does not count as n copies of a row.

    Then the values of resamples mean nothing: a statistic that ignores its weights has an interval of width
    0.
    """
    times = 1 + np.random.default_rng(0).integers(0, 2, size=len(outcomes))
    weighted = float(call_statistic(metric, outcomes, np.stack([times, times]).astype(np.float64))[1])
    copied = compute_value(metric, outcomes.take(np.repeat(np.arange(len(outcomes)), times)))
    if not np.isfinite([weighted, copied]).any():
        raise MeasureError(
            f"{metric.name} is {copied} although every row counts, so nothing can be judged; correct its "
            "statistic, or give the gate rows that it needs, such as rows of each class"
        )
    if not np.isclose(weighted, copied, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise MeasureError(
            f"{metric.name} does not follow its weights: {weighted:.4g} with rows that weigh 1 or 2, and "
            f"{copied:.4g} of these rows once or twice; see `statistic` in slimgate/judge/metrics/base.py"
        )


def _check_influence(metric: Metric, influence: Influence, outcomes: Outcomes, value: float) -> None:
    """Raises MeasureError if the value moves otherwise with the rows' weights than `influence` says.

    The interval is as wide as the influence values are large. They may be larger than the derivative by what
    DeLong's denominators of m - 1 add, at most by the root of 2.
    """
    by_row = call_by_row(metric, "influence", influence, outcomes)
    directions = min(max(_CHEAP // len(outcomes), _DIRECTIONS), _MOST_DIRECTIONS)
    changes = np.random.default_rng(0).choice([-1.0, 1.0], size=(directions, len(outcomes)))
    values = call_statistic(metric, outcomes, 1 + _STEP * np.concatenate([changes, -changes]))
    moved = (values[:directions] - values[directions:]) / (2 * _STEP)
    expected = changes @ by_row / len(outcomes)
    moved_size, expected_size, error = (
        float(np.sqrt(np.mean(numbers**2))) for numbers in (moved, expected, moved - expected)
    )
    allowed_error = _INFLUENCE_ERROR * max(moved_size, expected_size) + 1e-9 * max(1.0, abs(value))
    if not error <= allowed_error:  # also for NaN
        raise MeasureError(
            f"{metric.name} moves by {moved_size:.3g} for each unit of weight that its rows get or lose at "
            f"random, but by {expected_size:.3g} by its influence, which the interval is computed from; "
            "correct it, see `influence` in slimgate/judge/metrics/base.py"
        )
