"""The declarations of a metric file, and the checks that every metric makes on its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from slimgate.budgets.base import Unit
from slimgate.errors import MeasureError, SlimgateError, format_error
from slimgate.judge.metrics.classes import arrange_classes
from slimgate.judge.metrics.weighted_correlation import compute_correlation, prepare_ranks, prepare_values
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes

# the kind of outcomes that `needs` names is what the metric reads
Statistic = Callable[[Any, Floats], Floats]
FromConfusion = Callable[[Floats], Floats]
PerRow = Callable[[Any], Floats]
Influence = Callable[[Any], Floats]
# Of the check of influence values: weightings that are tried, how far weights are moved, and the difference
# that is allowed, as a share.
_DIRECTIONS, _STEP, _INFLUENCE_ERROR = 4, 1e-3, 0.35
# The two weightings of the check of a metric's fields, in its errors.
_WEIGHINGS = ("", ", with rows that weigh 1 or 2,")


@dataclass(frozen=True)
class RowSums:
    """A metric as a function of sums over rows.

    terms(outcomes) -> (rows, k), a few numbers per row; value(sums): (…, k) sums -> (…,) values, the same
    when all sums are scaled. extremes(outcomes) -> (2, k), the terms of a row at its best and at the worst
    that a model can make it; for outcomes without classes, the made-up rows that the judge adds.
    missing_limit(outcomes) -> why that worst is not known for these rows, so that they decide nothing; None
    if it is.
    """

    terms: Callable[[Any], Floats]
    value: Callable[[Floats], Floats]
    extremes: Callable[[Any], Floats] | None = None
    missing_limit: Callable[[Any], str | None] | None = None


@dataclass(frozen=True)
class RowMean:
    """A metric that is a mean over rows, or a rate: sum of amounts / sum of sizes.

    of(outcomes) -> (rows,) amounts and (rows,) sizes, the same for every model. ends(teacher, variant) -> the
    lowest and the highest amount per unit of size that a row can have. most_lost(teacher, variant) -> by how
    much a row can get worse, if that is less than from end to end. The judge's bound also covers rows that
    the sample does not have; these limits are all that it assumes of them. An end may be infinite: then a row
    counts for a loss of at most cap(teacher, variant), and the share of rows that lose more is judged too
    (see `slimgate/judge/capped.py`). Without a cap there a budget can fail, and does not pass.
    """

    of: Callable[[Any], tuple[Floats, Floats]]
    ends: Callable[[Any, Any], tuple[float, float]]
    most_lost: Callable[[Any, Any], float] | None = None
    cap: Callable[[Any, Any], float] | None = None


@dataclass(frozen=True)
class Documents:
    """A metric of nats per token, judged by documents on the log scale.

    of(outcomes) -> (rows,) nats and (rows,) int64 tokens. cap: nats a token that a document counts for at
    most, if the budget does not state it.
    """

    of: Callable[[Any], tuple[Floats, Ints]]
    cap: float = 1.0


@dataclass(frozen=True)
class Correlated:
    """A correlation of scores with what they should be. of(outcomes) -> (rows,) gold and (rows,) scores."""

    kind: Literal["pearson", "spearman"]
    of: Callable[[Any], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Metric:
    """A metric in the form that the judge needs: one number per set of row weights.

    statistic(outcomes, weights) -> values: weights are per-row multiplicities, (rows,) or
    (resamples, rows); values have shape () or (resamples,), and do not change when all weights are scaled.
    `weights` of ones gives the plain metric.
    from_confusion: if the metric is a function of the confusion matrix alone, that function:
    (…, classes, classes) counts [label, prediction] -> (…,); the judge then resamples cells, not rows.
    per_row: if the metric is a mean of a 0/1 value per row, that value (rows,); the judge then uses Tango's
    test. If it has a row_mean too, the values may lie between 0 and 1; then the judge uses the row_mean.
    row_sums: if the metric is a function of sums over rows, those; the judge then resamples sums.
    influence: how much each row moves the value, (rows,) with sum 0, such that the sum of the squares over
    rows² is the value's variance; the judge then resamples nothing. influence_name: of that method, as a
    verdict quotes it. documents, correlated: for metrics with separate methods.
    needs: the part of the outcomes that it reads: "prediction", "probabilities", or a task's own values.
    value_range: lowest and highest possible value. unit: of a drop: 100 times the metric's own unit, or, of a
    perplexity, the percentage by which it has grown. alike: values that two models must both have for the
    metric to compare them, such as the tokens that it is a mean over. why_incomparable(teacher, variant): why
    the metric cannot compare these two; None if it can.
    binary_only: the metric is defined for two labels alone. of_positive: if there are two labels, the metric
    is of the positive label. over_labels: each label of the task counts in it, however few rows it has, so
    the metric proves nothing if a label has no row.
    row_mean: if the metric is a mean over rows or a rate; the judge then uses a bound of that mean.
    open_range: what a user can do if a value_range that is not finite lets no budget pass, as the end of a
    sentence; "" for a text that names the budget's cap.
    rows: if the metric is of some rows alone, their positions, the same for every model.
    resampled: False if the metric has no interval: the statistic takes weights of ones only, or the value
    of a sample is biased. It is then reported without an interval, and no budget can be put on it; no_budget
    says why, as the end of a sentence that begins with the name.
    """

    name: str
    higher_is_better: bool
    value_range: tuple[float, float]
    needs: str
    statistic: Statistic
    from_confusion: FromConfusion | None = None
    per_row: PerRow | None = None
    row_sums: RowSums | None = None
    row_mean: RowMean | None = None
    influence: Influence | None = None
    influence_name: str = "influence values"
    documents: Documents | None = None
    correlated: Correlated | None = None
    open_range: str = ""
    unit: Unit = "points"
    alike: tuple[str, ...] = ()
    why_incomparable: Callable[[Any, Any], str | None] | None = None
    binary_only: bool = False
    of_positive: bool = False
    over_labels: bool = False
    rows: Callable[[Any], Ints] | None = None
    resampled: bool = True
    no_budget: str = "has no interval (it is not resampled), so it is reported and cannot have a budget"

    @property
    def over_builds(self) -> bool:
        """Whether a budget can be judged over several builds; not if by documents or a correlation."""
        return self.resampled and self.documents is None and self.correlated is None


def compute_value(metric: Metric, outcomes: Outcomes) -> float:
    """The plain metric of a model's outcomes: every row counts once.

    Raises SuiteError if it is of the positive label and no label is known to be positive.
    """
    outcomes = arrange_outcomes(metric, select_own_rows(metric, outcomes))
    return float(call_statistic(metric, outcomes, np.ones(len(outcomes))))


def call_statistic(metric: Metric, outcomes: Outcomes, weights: Floats) -> Floats:
    """The statistic's values as float64.

    Raises MeasureError if it fails, or if their shape is not that of the weights without rows.
    """
    with _plugin_errors(metric, "statistic"):  # also for texts, which are no numbers
        values = np.asarray(metric.statistic(outcomes, weights), dtype=np.float64)
    if values.shape != weights.shape[:-1]:
        raise MeasureError(
            f"{metric.name}: its statistic returned the shape {values.shape} for weights of the shape "
            f"{weights.shape}, expected {weights.shape[:-1]}, one value for each set of row weights; see "
            "`statistic` in slimgate/judge/metrics/base.py"
        )
    return values


def compute_row_values(metric: Metric, outcomes: Outcomes) -> Floats:
    """(rows,) what `per_row` gives, as float64. Raises MeasureError if it is not one value for each row."""
    assert metric.per_row is not None
    return _call_by_row(metric, "per_row", metric.per_row, outcomes)


def _call_by_row(metric: Metric, field: str, function: PerRow, outcomes: Outcomes) -> Floats:
    """(rows,) what a function of a metric gives, as float64. field: the function's field, for errors."""
    with _plugin_errors(metric, field):
        values = np.asarray(function(outcomes), dtype=np.float64)
    if values.shape != (len(outcomes),):
        raise MeasureError(
            f"{metric.name}: its {field} returned the shape {values.shape} for {len(outcomes)} rows, "
            f"expected ({len(outcomes)},), one value for each row"
        )
    return values


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
    for name, figures in _list_figures(metric, outcomes, weights).items():
        if np.shape(figures) != (2,):
            raise MeasureError(
                f"{metric.name}: its {name} returned the shape {np.shape(figures)} for two sets of counts or "
                f"sums at once, expected (2,); see `{name}` in slimgate/judge/metrics/base.py"
            )
        for weighing, by_statistic, figure in zip(_WEIGHINGS, values, figures, strict=True):
            if not np.isclose(figure, by_statistic, rtol=1e-6, atol=1e-9):
                raise MeasureError(
                    f"{metric.name}{weighing} is {by_statistic:.6g} by its statistic, but {figure:.6g} by "
                    f"its {name}, which the verdict is computed from; correct one of them, see `{name}` in "
                    "slimgate/judge/metrics/base.py"
                )
    if metric.influence is not None:
        _check_influence(metric, metric.influence, outcomes, value)


def _list_figures(metric: Metric, outcomes: Outcomes, weights: Floats) -> dict[str, Floats]:
    """The values by each of the fields that the judge reads. weights: (sets, rows)."""
    figures: dict[str, Floats] = {}
    if metric.per_row is not None:
        figures["per_row"] = weights @ compute_row_values(metric, outcomes) / weights.sum(axis=1)
    if metric.row_mean is not None:
        with _plugin_errors(metric, "row_mean"):
            amounts, sizes = metric.row_mean.of(outcomes)
            figures["row_mean"] = (weights @ amounts) / (weights @ sizes)
    elif metric.row_sums is not None and metric.per_row is None:
        with _plugin_errors(metric, "row_sums"):
            figures["row_sums"] = metric.row_sums.value(weights @ metric.row_sums.terms(outcomes))
    if metric.documents is not None:
        with _plugin_errors(metric, "documents"):
            nats, tokens = metric.documents.of(outcomes)
            figures["documents"] = np.exp((weights @ nats) / (weights @ tokens))
    if metric.correlated is not None:
        prepare = prepare_ranks if metric.correlated.kind == "spearman" else prepare_values
        with _plugin_errors(metric, "correlated"):
            gold, scores = (prepare(side)(weights) for side in metric.correlated.of(outcomes))
            figures["correlated"] = compute_correlation(gold, scores, weights)
    if metric.from_confusion is not None and isinstance(outcomes, ClassOutcomes):
        check_classes(outcomes)
        k = len(outcomes.classes)
        cells = outcomes.labels * k + outcomes.predictions
        counts = np.stack([np.bincount(cells, weights=line, minlength=k * k) for line in weights])
        with _plugin_errors(metric, "from_confusion"):
            figures["from_confusion"] = metric.from_confusion(counts.reshape(-1, k, k).astype(np.float64))
    return figures


@contextmanager
def _plugin_errors(metric: Metric, field: str) -> Iterator[None]:
    """Raises MeasureError in place of an error of a function of a metric, which may raise anything."""
    try:
        yield
    except SlimgateError:
        raise
    except Exception as error:
        raise MeasureError(f"{metric.name}: its {field} failed: {format_error(error)}") from error


def _check_influence(metric: Metric, influence: Influence, outcomes: Outcomes, value: float) -> None:
    """Raises MeasureError if the value moves otherwise with the rows' weights than `influence` says.

    The interval is as wide as the influence values are large. They may be larger than the derivative by what
    DeLong's denominators of m - 1 add, at most by the root of 2.
    """
    by_row = _call_by_row(metric, "influence", influence, outcomes)
    changes = np.random.default_rng(0).choice([-1.0, 1.0], size=(_DIRECTIONS, len(outcomes)))
    values = call_statistic(metric, outcomes, 1 + _STEP * np.concatenate([changes, -changes]))
    moved = (values[:_DIRECTIONS] - values[_DIRECTIONS:]) / (2 * _STEP)
    expected = changes @ by_row / len(outcomes)
    sizes = [float(np.sqrt(np.mean(numbers**2))) for numbers in (moved, expected, moved - expected)]
    if not sizes[2] <= _INFLUENCE_ERROR * max(sizes[:2]) + 1e-9 * max(1.0, abs(value)):  # also for NaN
        raise MeasureError(
            f"{metric.name} moves by {sizes[0]:.3g} for each unit of weight that its rows get or lose at "
            f"random, but by {sizes[1]:.3g} by its influence, which the interval is computed from; correct "
            "it, see `influence` in slimgate/judge/metrics/base.py"
        )


def select_own_rows(metric: Metric, outcomes: Outcomes) -> Outcomes:
    """The outcomes of the rows that a metric reads."""
    return outcomes if metric.rows is None else outcomes.take(metric.rows(outcomes))


def arrange_outcomes(metric: Metric, outcomes: Outcomes) -> Outcomes:
    """The outcomes in the form that the metric reads: the positive label second, all strays as one class.

    A metric cannot change them: the metrics after it, and the judge, read the same arrays.
    """
    return arrange_classes(
        outcomes, metric.name, of_positive=metric.of_positive, of_counts=metric.needs == "prediction"
    ).read_only()


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


def check_weights(outcomes: Outcomes, weights: Floats) -> None:
    """Raises MeasureError if there are no rows, or if weights do not fit them.

    weights: (rows,) or (resamples, rows), finite, not negative, none of the resamples all zero.
    """
    if not len(outcomes):
        raise MeasureError("no rows: a metric of an empty split is not defined")
    if weights.shape[-1:] != (len(outcomes),):
        raise MeasureError(f"weights have shape {weights.shape}, expected (…, {len(outcomes)})")
    # NaN fails both comparisons, and an infinite sum fails the last comparison
    if not (weights.min() >= 0 and weights.sum(axis=-1).min() > 0 and np.isfinite(weights.sum())):
        raise MeasureError("weights must be finite and not negative, with one above 0 in each resample")


def check_classes(outcomes: ClassOutcomes) -> None:
    """Raises MeasureError if a label or a prediction is no index into `classes`."""
    k = len(outcomes.classes)
    for name, column in (("label", outcomes.labels), ("prediction", outcomes.predictions)):
        bad = (column < 0) | (column >= k)
        if bad.any():
            raise MeasureError(
                f"row {outcomes.ids[bad][0]}: {name} {column[bad][0]} is not a class index, expected "
                f"0 … {k - 1}"
            )


def read_probabilities(outcomes: ClassOutcomes, metric: str) -> Floats:
    """(rows, classes) float64. Raises MeasureError if the tool gave predictions only."""
    if outcomes.probabilities is None:
        raise MeasureError(f"{metric} needs probabilities, these outcomes contain only predictions")
    return outcomes.probabilities
