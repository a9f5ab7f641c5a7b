"""Makes answers of a classifier on a few rows, with or without probabilities."""

from __future__ import annotations

import numpy as np

from slimgate.outcomes import ClassOutcomes, Floats


def make_class_answers(labels: list[int], scores: list[list[float]] | Floats) -> ClassOutcomes:
    """Answers that predict the likeliest class. labels: (rows,); scores: (rows, classes) probabilities."""
    probabilities = np.asarray(scores, dtype=np.float64)
    names = tuple(f"c{k}" for k in range(probabilities.shape[1]))
    ids = np.arange(len(probabilities)).astype(np.str_)
    return ClassOutcomes(
        ids, np.asarray(labels, dtype=np.int64), probabilities.argmax(axis=1), names, probabilities
    )


# Confidences 0.9 (right), 0.91 (wrong), 0.6 (right), 0.7 (right).
FOUR = make_class_answers([0, 0, 1, 1], [[0.9, 0.1], [0.09, 0.91], [0.4, 0.6], [0.3, 0.7]])


def drop_probabilities(outcomes: ClassOutcomes) -> ClassOutcomes:
    """The same rows with their predictions alone."""
    return ClassOutcomes(outcomes.ids, outcomes.labels, outcomes.predictions, outcomes.classes)
