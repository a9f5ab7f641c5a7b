from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge.metrics.confusion import compute_confusion, divide_or_zero
from slimgate.outcomes import ClassOutcomes


def test_counts_stand_at_label_and_prediction(outcomes_of: Callable[..., ClassOutcomes]) -> None:
    outcomes = outcomes_of([0, 0, 1, 2, 2, 2], [0, 1, 1, 0, 2, 2])
    assert compute_confusion(outcomes, np.ones(6)).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_each_line_of_weights_has_its_own_counts(outcomes_of: Callable[..., ClassOutcomes]) -> None:
    outcomes = outcomes_of([0, 1, 1], [0, 0, 1])
    counts = compute_confusion(outcomes, np.array([[1.0, 2.0, 3.0], [5.0, 0.0, 0.5]]))
    assert counts.tolist() == [[[1, 0], [2, 3]], [[5, 0], [0, 0.5]]]


def test_counts_of_many_lines_are_those_of_each_line_alone(
    outcomes_of: Callable[..., ClassOutcomes],
) -> None:
    """To the bit: more lines than rows are counted row by row, else line by line."""
    outcomes = outcomes_of([0, 1, 1, 2, 1, 0, 1], [0, 0, 1, 2, 0, 2, 0], classes=3)
    weights = np.random.default_rng(0).standard_gamma(1.0, size=(50, 7))
    alone = np.stack([compute_confusion(outcomes, line) for line in weights])
    assert np.array_equal(compute_confusion(outcomes, weights), alone)
    assert np.array_equal(compute_confusion(outcomes, weights[:6]), alone[:6])


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        pytest.param([0, -1], [0, 0], "row 1: label -1", id="a label below 0"),
        pytest.param([0, 1], [2, 0], "row 0: prediction 2", id="a prediction past the classes"),
    ],
)
def test_an_index_that_is_no_class_is_named(
    outcomes_of: Callable[..., ClassOutcomes], labels: list[int], predictions: list[int], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        compute_confusion(outcomes_of(labels, predictions, classes=2), np.ones(2))


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param([1.0], id="too few"),
        pytest.param([1.0, float("nan")], id="NaN"),
        pytest.param([1.0, float("inf")], id="infinite"),
        pytest.param([2.0, -1.0], id="negative"),
        pytest.param([0.0, 0.0], id="all zero"),
    ],
)
def test_weights_that_cannot_be_are_refused(
    outcomes_of: Callable[..., ClassOutcomes], weights: list[float]
) -> None:
    with pytest.raises(MeasureError, match="weights"):
        compute_confusion(outcomes_of([0, 1], [0, 1]), np.array(weights))


def test_zero_over_zero_is_zero() -> None:
    assert divide_or_zero(np.array([0.0, 1.0]), np.array([0.0, 4.0])).tolist() == [0.0, 0.25]
