"""Confusion counts, and the per-class counts that precision, recall, F1 and MCC are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import FromConfusion, Statistic, check_classes, check_weights
from slimgate.outcomes import ClassOutcomes, Floats


class ClassCounts(NamedTuple):
    """Counts of rows by class, each (…, classes): right rows, rows with the label, with the prediction."""

    right: Floats
    labelled: Floats
    predicted: Floats


def compute_confusion(outcomes: ClassOutcomes, weights: Floats) -> Floats:
    """Weighted counts [label, prediction].

    weights: (rows,) -> (classes, classes); (resamples, rows) -> (resamples, classes, classes).
    Raises MeasureError if there are no rows or a label or prediction is not a class index.
    """
    check_weights(outcomes, weights)
    check_classes(outcomes)
    return compute_weighted_counts(outcomes, weights)


def compute_weighted_counts(outcomes: ClassOutcomes, weights: Floats) -> Floats:
    """Like `compute_confusion`, but for rows and weights that were checked before."""
    k = len(outcomes.classes)
    cells = outcomes.labels * k + outcomes.predictions
    by_line = np.atleast_2d(weights)
    # The shorter loop is chosen; both sum in the same order. numpy's reduceat takes ten times as long over
    # many small cells.
    if len(cells) < len(by_line):
        by_cell = np.zeros((k * k, len(by_line)))
        for cell, column in zip(cells, np.ascontiguousarray(by_line.T), strict=True):
            by_cell[cell] += column
        counts = np.ascontiguousarray(by_cell.T)
    else:
        counts = np.empty((len(by_line), k * k))
        for line, out in zip(by_line, counts, strict=True):
            out[:] = np.bincount(cells, weights=line, minlength=k * k)
    return counts.reshape(*weights.shape[:-1], k, k)


def make_statistic(from_confusion: FromConfusion) -> Statistic:
    """The `statistic` of a metric that is a function of the confusion matrix alone."""

    def statistic(outcomes: ClassOutcomes, weights: Floats) -> Floats:
        return from_confusion(compute_confusion(outcomes, weights))

    return statistic


def make_class_counts(counts: Floats) -> ClassCounts:
    """(…, classes, classes) counts [label, prediction] -> counts per class."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return ClassCounts(right, counts.sum(axis=-1), counts.sum(axis=-2))


def divide_or_zero(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator, and 0 if the denominator is 0 (scikit-learn's zero_division default)."""
    out = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    np.divide(numerator, denominator, out=out, where=denominator != 0)
    return out


def make_binary_statistic(from_confusion: FromConfusion, metric: str) -> Statistic:
    """Like `make_statistic`, but the statistic raises MeasureError unless there are two labels."""

    def statistic(outcomes: ClassOutcomes, weights: Floats) -> Floats:
        labels = len(outcomes.label_set)
        if labels == 1:
            raise MeasureError(
                f"{metric} is for two classes, and all rows have the label {outcomes.label_set[0]}; add "
                "rows of the other class"
            )
        if labels != 2:
            raise MeasureError(
                f"{metric} is for two classes, this task has {labels}: "
                f"use {metric}_macro, {metric}_micro or {metric}_weighted"
            )
        return from_confusion(compute_confusion(outcomes, weights))

    return statistic
