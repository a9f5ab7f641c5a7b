from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from slimgate.errors import MeasureError
from slimgate.judge.answer_figures import count_confusions, list_confusion_cells
from slimgate.outcomes import ClassOutcomes


def predicted(labels: list[int], predictions: list[int], classes: int) -> ClassOutcomes:
    ids = np.arange(len(labels)).astype(np.str_)
    return ClassOutcomes(ids, np.array(labels), np.array(predictions), tuple(f"c{k}" for k in range(classes)))


def test_rows_are_counted_by_label_and_prediction() -> None:
    outcomes = predicted([0, 0, 0, 1, 2], [0, 1, 1, 1, 0], 3)
    assert count_confusions(outcomes).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]


def test_the_counts_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 9, 500), rng.integers(0, 9, 500)
    outcomes = predicted(labels.tolist(), predictions.tolist(), 9)
    assert np.array_equal(count_confusions(outcomes), confusion_matrix(labels, predictions, labels=range(9)))


def test_cells_are_those_not_empty_in_both_and_hold_every_row() -> None:
    teacher = predicted([0, 0, 0, 1, 2], [0, 1, 1, 1, 0], 3)
    variant = predicted([0, 0, 0, 1, 2], [0, 0, 1, 1, 2], 3)
    cells = list_confusion_cells(teacher, variant)
    assert cells == [(0, 0, 1, 2), (0, 1, 2, 1), (1, 1, 1, 1), (2, 0, 1, 0), (2, 2, 0, 1)]
    assert [sum(cell[k] for cell in cells) for k in (2, 3)] == [5, 5]


def test_a_prediction_that_is_no_class_is_an_error() -> None:
    with pytest.raises(MeasureError, match="prediction 2 is not a class index"):
        count_confusions(predicted([0], [2], 2))
