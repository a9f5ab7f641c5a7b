from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score
from support.class_answers import FOUR, drop_probabilities, make_class_answers

from slimgate.judge.answer_figures import THRESHOLDS, compute_tradeoff
from slimgate.outcomes import ClassOutcomes
from slimgate.results.behaviour import TradeoffFacts


def points(outcomes: ClassOutcomes) -> dict[float, TradeoffFacts]:
    curve = compute_tradeoff(outcomes)
    assert curve is not None
    return {point.threshold: point for point in curve}


def figures(point: TradeoffFacts) -> tuple[float | None, ...]:
    return point.threshold, point.coverage, point.precision, point.recall


def test_two_classes_are_answered_where_class_1_is_likely() -> None:
    # class 1 has 0.1, 0.91, 0.6, 0.7; the last two are class 1
    by_threshold = points(FOUR)
    assert figures(by_threshold[0.1]) == (0.1, 1.0, 0.5, 1.0)
    assert figures(by_threshold[0.6]) == (0.6, 0.75, pytest.approx(2 / 3), 1.0)
    assert figures(by_threshold[0.9]) == (0.9, 0.25, 0.0, 0.0)


def test_more_classes_are_answered_where_the_prediction_is_sure() -> None:
    outcomes = make_class_answers(
        [0, 1, 2, 2], [[0.9, 0.1, 0], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [0.45, 0.2, 0.35]]
    )
    by_threshold = points(outcomes)
    assert figures(by_threshold[0.4]) == (0.4, 1.0, 0.5, 0.5)
    assert figures(by_threshold[0.6]) == (0.6, 0.5, 1.0, 0.5)


def test_nothing_answered_no_precision_nothing_to_find_no_recall() -> None:
    by_threshold = points(make_class_answers([0, 0], [[0.95, 0.05], [0.85, 0.15]]))
    assert figures(by_threshold[0.1]) == (0.1, 0.5, 0.0, None)
    assert figures(by_threshold[0.2]) == (0.2, 0.0, None, None)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_two_classes_agree_with_scikit_learn(threshold: float) -> None:
    rng = np.random.default_rng(3)
    scores, labels = rng.dirichlet([1, 1], 400), rng.integers(0, 2, 400)
    point, predicted = (
        points(make_class_answers(labels.tolist(), scores))[threshold],
        scores[:, 1] >= threshold,
    )
    assert point.precision == pytest.approx(precision_score(labels, predicted))
    assert point.recall == pytest.approx(recall_score(labels, predicted))
    assert point.coverage == pytest.approx(predicted.mean())


def test_without_probabilities_there_is_none() -> None:
    assert compute_tradeoff(drop_probabilities(FOUR)) is None


def test_the_class_is_the_positive_one() -> None:
    stated = points(replace(FOUR, positive=FOUR.classes[0]))
    assert figures(stated[0.9]) == (0.9, 0.25, 1.0, 0.5), "class 0 has 0.9, 0.09, 0.4 and 0.3"
