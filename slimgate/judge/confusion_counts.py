"""Confusion counts of one model, and of two side by side where there are many classes."""

from __future__ import annotations

import numpy as np

from slimgate.judge.metrics.base import check_classes
from slimgate.outcomes import ClassOutcomes, Ints

# From here on most cells of a matrix are empty, and a record holds the others only.
MOST_CLASSES_OF_A_MATRIX = 30

Cell = tuple[int, int, int, int]


def confusion_counts(outcomes: ClassOutcomes) -> Ints:
    """(classes, classes) rows by [label, prediction]."""
    check_classes(outcomes)
    k = len(outcomes.classes)
    counted = np.bincount(outcomes.labels * k + outcomes.predictions, minlength=k * k)
    return counted.reshape(k, k).astype(np.int64)


def confusion_cells(teacher: ClassOutcomes, variant: ClassOutcomes) -> list[Cell]:
    """(label, prediction, teacher's rows, variant's rows) of every cell that is not empty in both."""
    before, after = confusion_counts(teacher), confusion_counts(variant)
    labels, predictions = np.nonzero(before + after)
    columns = (labels, predictions, before[labels, predictions], after[labels, predictions])
    return list(zip(*(column.tolist() for column in columns), strict=True))
