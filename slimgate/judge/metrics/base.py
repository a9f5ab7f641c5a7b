"""The declarations of a metric file, calls of its functions, and the checks that metrics make on rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slimgate._system.error_places import format_user_error
from slimgate.budgets.base import Unit
from slimgate.errors import MeasureError, SlimgateError
from slimgate.judge.metrics.classes import arrange_classes
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes

if TYPE_CHECKING:
    from slimgate.outcomes import Outcomes


# the kind of outcomes that `needs` names is what the metric reads
Statistic = Callable[[Any, Floats], Floats]
FromConfusion = Callable[[Floats], Floats]
PerRow = Callable[[Any], Floats]
Influence = Callable[[Any], Floats]


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
    with convert_plugin_errors(metric, "statistic"):  # also for texts, which are no numbers
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
    return call_by_row(metric, "per_row", metric.per_row, outcomes)


def call_by_row(metric: Metric, field: str, function: PerRow, outcomes: Outcomes) -> Floats:
    """(rows,) what a function of a metric gives, as float64. field: the function's field, for errors."""
    with convert_plugin_errors(metric, field):
        values = np.asarray(function(outcomes), dtype=np.float64)
    if values.shape != (len(outcomes),):
        raise MeasureError(
            f"{metric.name}: its {field} returned the shape {values.shape} for {len(outcomes)} rows, "
            f"expected ({len(outcomes)},), one value for each row"
        )
    return values


@contextmanager
def convert_plugin_errors(metric: Metric, field: str) -> Iterator[None]:
    """Raises MeasureError in place of an error of a function of a metric, which may raise anything."""
    try:
        yield
    except SlimgateError:
        raise
    except Exception as error:
        raise MeasureError(f"{metric.name}: its {field} failed: {format_user_error(error)}") from error


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


# This many rows of 16 terms each take 32 MB.
_ROWS_AT_ONCE = 2**18


def statistic_of_sums(row_sums: RowSums, *, in_blocks: bool = False) -> Statistic:
    """Makes a statistic of weighted sums over rows.

    Args:
        row_sums: the terms of each row, and the value of their sums.
        in_blocks: True if the terms of a row depend on that row alone and are many: some rows are read at a
            time.
    """

    def statistic(outcomes: Any, weights: Floats) -> Floats:
        check_weights(outcomes, weights)
        if not in_blocks or weights.ndim > 1 or len(weights) <= _ROWS_AT_ONCE:
            return row_sums.value(weights @ row_sums.terms(outcomes))
        starts = range(0, len(weights), _ROWS_AT_ONCE)
        parts = (np.arange(start, min(start + _ROWS_AT_ONCE, len(weights))) for start in starts)
        sums = sum(weights[rows] @ row_sums.terms(outcomes.take(rows)) for rows in parts)
        return row_sums.value(np.asarray(sums))

    return statistic


def make_row_mean(
    values: Callable[[Any], Floats], ends: Callable[[Any, Any], tuple[float, float]]
) -> RowMean:
    """A mean of (rows,) values. ends(teacher, variant) -> the lowest and the highest value of a row."""
    return RowMean(lambda outcomes: (values(outcomes), np.ones(len(outcomes))), ends)


def get_share_ends(_teacher: Outcomes, _variant: Outcomes) -> tuple[float, float]:
    """The lowest and the highest value of a row, if its value is a share."""
    return 0.0, 1.0


def divide_sums(sums: Floats) -> Floats:
    """(…, 2) sums -> (…,) the first divided by the second."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def mean_of(values: Callable[[Any], Floats]) -> RowSums:
    """Makes the row sums of a metric that is a mean over rows, for `statistic_of_sums`.

    Args:
        values: returns the value of each row, (rows,) float64, from outcomes.

    Returns:
        Two terms a row: its value, and 1. The metric is the quotient of their sums.
    """

    def terms(outcomes: Any) -> Floats:
        return np.stack([values(outcomes), np.ones(len(outcomes))], axis=1)

    return RowSums(terms, divide_sums)


def compute_usual_row(terms: Floats, sizes: Floats) -> Floats:
    """(k,) the terms of the row that a unit meets: the mean over rows that count by their sizes.

    The F1 of rows with several answers (spans, labels) uses this row, all right and all wrong, as its
    extremes, since a row that changes may lose all it has. If all sizes are 0, it is the plain mean.
    """
    weights = sizes if sizes.any() else np.ones(len(sizes))
    return np.asarray(weights @ terms / weights.sum())
