from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss
from support.class_answers import FOUR, drop_probabilities, make_class_answers
from support.versions import needs

from slimgate.errors import MeasureError
from slimgate.judge.answer_figures import (
    compute_brier_score,
    compute_calibration_error,
    compute_confidences,
    compute_reliability,
)


def test_the_calibration_error_of_four_rows_by_hand() -> None:
    # 15 bins: (8/15, 9/15] holds 0.6, right: gap 0.4; (10/15, 11/15] holds 0.7, right: gap 0.3;
    # (13/15, 14/15] holds 0.9 and 0.91, one of them right: 2 rows of gap |0.905 - 0.5|
    assert compute_calibration_error(FOUR) == pytest.approx((0.4 + 0.3 + 2 * 0.405) / 4)


def test_the_brier_score_of_four_rows_by_hand() -> None:
    # twice the squared distance of each row: 0.1, 0.91, 0.4, 0.3
    assert compute_brier_score(FOUR) == pytest.approx((0.01 + 0.8281 + 0.16 + 0.09) / 4)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    bins = compute_reliability(make_class_answers([0, 0], [[0.6, 0.4], [1.0, 0.0]]))
    assert bins is not None
    assert [k for k, facts in enumerate(bins) if facts.count] == [8, 14]
    assert (bins[8].high, bins[14].high) == (pytest.approx(0.6), 1.0)


def test_the_bins_of_four_rows_by_hand() -> None:
    bins = compute_reliability(FOUR)
    assert bins is not None
    filled = {
        k: (facts.count, facts.confidence, facts.accuracy) for k, facts in enumerate(bins) if facts.count
    }
    assert filled == {
        8: (1, pytest.approx(0.6), 1.0),
        10: (1, pytest.approx(0.7), 1.0),
        13: (2, pytest.approx(0.905), 0.5),
    }
    assert (bins[0].low, bins[0].high) == (0.0, 1 / 15)
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)


def test_the_bins_hold_every_row_once_and_give_the_error() -> None:
    rng = np.random.default_rng(0)
    outcomes = make_class_answers(rng.integers(0, 5, 2000).tolist(), rng.dirichlet(np.full(5, 0.5), 2000))
    bins = compute_reliability(outcomes)
    assert bins is not None
    assert sum(facts.count for facts in bins) == 2000
    sure, right = compute_confidences(outcomes), outcomes.predictions == outcomes.labels
    assert sure is not None
    expected = 0.0
    for k in range(15):
        inside = (sure > k / 15) & (sure <= (k + 1) / 15)
        expected += abs(sure[inside].sum() - right[inside].sum()) / 2000
    assert compute_calibration_error(outcomes) == pytest.approx(expected)


def test_a_model_as_often_right_as_it_says_has_a_small_error() -> None:
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(3), 50_000)
    labels = (scores.cumsum(axis=1) > rng.random(50_000)[:, None]).argmax(axis=1)
    assert compute_calibration_error(make_class_answers(labels.tolist(), scores)) == pytest.approx(
        0, abs=0.01
    )


@needs("scikit-learn>=1.7")
@pytest.mark.parametrize("classes", [2, 7])
def test_the_brier_score_is_that_of_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(2)
    scores, labels = rng.dirichlet(np.ones(classes), 500), rng.integers(0, classes, 500)
    expected = brier_score_loss(labels, scores, labels=list(range(classes)))
    assert compute_brier_score(make_class_answers(labels.tolist(), scores)) == pytest.approx(expected)


def test_without_probabilities_there_is_none() -> None:
    bare = drop_probabilities(FOUR)
    assert compute_confidences(bare) is None
    assert compute_reliability(bare) is None
    assert compute_calibration_error(bare) is None
    assert compute_brier_score(bare) is None


def test_a_label_that_is_no_class_is_an_error() -> None:
    with pytest.raises(MeasureError, match="label 2 is not a class index"):
        compute_brier_score(make_class_answers([2], [[0.5, 0.5]]))
