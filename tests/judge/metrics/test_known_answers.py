"""Every metric against figures worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes

MakeOutcomes = Callable[..., ClassOutcomes]


def value(name: str, outcomes: ClassOutcomes) -> float:
    return float(load_metric(name).statistic(outcomes, np.ones(len(outcomes))))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # worked example 4: TP 90, FP 10, FN 5, TN 95
        ("accuracy", 185 / 200),
        ("balanced_accuracy", (90 / 95 + 95 / 105) / 2),
        ("precision", 90 / 100),
        ("recall", 90 / 95),
        ("f1", 180 / 195),
        ("precision_macro", (90 / 100 + 95 / 100) / 2),
        ("recall_weighted", 185 / 200),
        ("f1_micro", 185 / 200),
        ("mcc", (90 * 95 - 10 * 5) / sqrt(100 * 95 * 105 * 100)),
    ],
)
def test_binary_confusion_of_worked_example_4(outcomes_of: MakeOutcomes, name: str, expected: float) -> None:
    outcomes = outcomes_of([1] * 95 + [0] * 105, [1] * 90 + [0] * 5 + [1] * 10 + [0] * 95)
    assert value(name, outcomes) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # labels 0 0 1 2, predictions 0 1 1 1: class 2 is never predicted
        ("precision_macro", (1 + 1 / 3 + 0) / 3),
        ("recall_macro", (1 / 2 + 1 + 0) / 3),
        ("f1_macro", (2 / 3 + 2 / 4 + 0) / 3),
        ("f1_weighted", (2 * 2 / 3 + 1 * 2 / 4 + 0) / 4),
        ("precision_weighted", (2 * 1 + 1 / 3 + 0) / 4),
        ("recall_micro", 2 / 4),
        ("balanced_accuracy", (1 / 2 + 1 + 0) / 3),
    ],
)
def test_three_classes_of_which_one_is_never_predicted(
    outcomes_of: MakeOutcomes, name: str, expected: float
) -> None:
    assert value(name, outcomes_of([0, 0, 1, 2], [0, 1, 1, 1])) == pytest.approx(expected, abs=1e-12)


def test_a_class_without_rows_is_left_out_of_the_mean(outcomes_of: MakeOutcomes) -> None:
    three = outcomes_of([0, 0, 1], [0, 1, 1], classes=3)
    assert value("f1_macro", three) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_a_class_that_is_only_predicted_is_no_class_of_a_mean(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([0, 0, 1], [0, 2, 1])
    assert value("recall_macro", outcomes) == pytest.approx((1 / 2 + 1) / 2)
    assert value("f1_macro", outcomes) == pytest.approx((2 / 3 + 1) / 2)
    assert value("balanced_accuracy", outcomes) == pytest.approx((1 / 2 + 1) / 2)


def test_binary_scores_without_a_positive_are_zero(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([0, 0, 0], [0, 0, 0], classes=2)
    assert [value(name, outcomes) for name in ("precision", "recall", "f1", "mcc")] == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_a_binary_metric_on_three_classes_says_what_to_use(outcomes_of: MakeOutcomes, name: str) -> None:
    with pytest.raises(MeasureError, match=f"{name} is for two classes, this task has 3: use {name}_macro"):
        value(name, outcomes_of([0, 1, 2], [0, 1, 2]))


def test_log_loss_is_the_mean_surprise_in_nats(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([0, 1], None, [[0.5, 0.5], [0.75, 0.25]])
    assert value("log_loss", outcomes) == pytest.approx((log(2) + log(4)) / 2)


def test_log_loss_of_an_impossible_label_is_clipped(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([0], None, [[0.0, 1.0]])
    assert value("log_loss", outcomes) == pytest.approx(23 * log(2))


def test_roc_auc_counts_a_tie_as_half(outcomes_of: MakeOutcomes) -> None:
    # positives 0.9 and 0.4, negatives 0.4 and 0.1: 2 wins, then a tie and a win
    outcomes = outcomes_of([1, 1, 0, 0], None, [[0.1, 0.9], [0.6, 0.4], [0.6, 0.4], [0.9, 0.1]])
    assert value("roc_auc", outcomes) == pytest.approx(3.5 / 4)


def test_roc_auc_of_three_classes_is_one_versus_rest(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([0, 1, 2], None, [[0.6, 0.1, 0.3], [0.5, 0.3, 0.2], [0.7, 0.1, 0.2]])
    # class 0: its row beats one of two; class 1: both; class 2: loses to one, ties with the other
    assert value("roc_auc", outcomes) == pytest.approx((1 / 2 + 1 + 1 / 4) / 3)


def test_roc_auc_of_one_class_is_an_error(outcomes_of: MakeOutcomes) -> None:
    with pytest.raises(MeasureError, match="all labels are of one class"):
        value("roc_auc", outcomes_of([1, 1], None, [[0.5, 0.5], [0.2, 0.8]]))


def test_roc_auc_of_a_resample_without_a_class_is_nan(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([1, 0], None, [[0.5, 0.5], [0.9, 0.1]])
    values = load_metric("roc_auc").statistic(outcomes, np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert values[0] == 1.0
    assert np.isnan(values[1])


def test_pr_auc_is_the_mean_precision_at_each_positive(outcomes_of: MakeOutcomes) -> None:
    # by falling score: positive, negative, then a positive and a negative that tie
    scores = [[0.1, 0.9], [0.3, 0.7], [0.6, 0.4], [0.6, 0.4]]
    outcomes = outcomes_of([1, 0, 1, 0], None, scores)
    assert value("pr_auc", outcomes) == pytest.approx((1 / 1 + 2 / 4) / 2)


def test_pr_auc_leaves_out_a_class_without_rows(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([0, 0, 1], None, [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.4, 0.5, 0.1]])
    # class 0: precision 1 at its first row, 2/3 at its second; class 1: its row ties with a row of class 0
    assert value("pr_auc", outcomes) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)


def test_pr_auc_without_a_positive_is_an_error(outcomes_of: MakeOutcomes) -> None:
    with pytest.raises(MeasureError, match="no row has a label of a positive class"):
        value("pr_auc", outcomes_of([0, 0], None, [[0.5, 0.5], [0.2, 0.8]]))


def test_brier_is_one_square_or_the_sum_of_all_classes(
    outcomes_of: MakeOutcomes,
) -> None:
    assert value("brier", outcomes_of([1, 0], None, [[0.3, 0.7], [0.5, 0.5]])) == pytest.approx(
        (0.3**2 + 0.5**2) / 2
    )
    # scikit-learn's own example for three classes
    three = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
    assert value("brier", outcomes_of([0, 1, 2], None, three)) == pytest.approx((0.06 + 0.14 + 0.24) / 3)


def test_ece_is_the_gap_of_each_bin_weighted_by_its_rows(outcomes_of: MakeOutcomes) -> None:
    # bins of 1/15: 0.70 and 0.72 fall into the 11th, one of them right; 0.95 alone into the 15th, right
    scores = [[0.3, 0.7], [0.28, 0.72], [0.05, 0.95]]
    outcomes = outcomes_of([1, 0, 1], None, scores)
    assert value("ece", outcomes) == pytest.approx((abs(1 - 0.70 - 0.72) + abs(1 - 0.95)) / 3)


def test_ece_of_many_rows_is_summed_up_some_at_a_time(
    outcomes_of: MakeOutcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = np.linspace(0.5, 1.0, 50)
    outcomes = outcomes_of([0, 1] * 25, None, np.stack([sure, 1 - sure], axis=1).tolist())
    expected = value("ece", outcomes)
    monkeypatch.setattr("slimgate.judge.metrics.base._ROWS_AT_ONCE", 7)
    assert value("ece", outcomes) == pytest.approx(expected, rel=1e-14)


def test_a_confidence_between_bins_is_in_the_lower_one(outcomes_of: MakeOutcomes) -> None:
    # 0.6 = 9/15 ends the 9th bin, 0.61 begins the 10th: the gaps 0.4 and -0.61 do not cancel
    outcomes = outcomes_of([1, 0], None, [[0.4, 0.6], [0.39, 0.61]])
    assert value("ece", outcomes) == pytest.approx((0.4 + 0.61) / 2)


def test_ece_of_a_model_that_is_as_right_as_it_says_is_zero(outcomes_of: MakeOutcomes) -> None:
    outcomes = outcomes_of([1, 1, 1, 0], None, [[0.25, 0.75]] * 4)
    assert value("ece", outcomes) == pytest.approx(0)


@pytest.mark.parametrize("name", ["log_loss", "brier", "ece", "roc_auc", "pr_auc"])
def test_a_probability_metric_of_predictions_only_says_so(outcomes_of: MakeOutcomes, name: str) -> None:
    with pytest.raises(MeasureError, match=f"{name} needs probabilities"):
        value(name, outcomes_of([0, 1], [0, 1]))


@pytest.mark.parametrize("score", ["f1", "precision", "recall"])
def test_the_mean_over_labels_takes_those_that_a_row_has(outcomes_of: MakeOutcomes, score: str) -> None:
    outcomes = outcomes_of([0, 0, 0, 1], [0, 0, 0, 1], classes=3)
    assert value(f"{score}_macro", outcomes) == 1.0  # b has one row, c none
    metric = load_metric(score)
    assert (metric.binary_only, metric.of_positive, metric.over_labels) == (True, True, True)
    assert load_metric(f"{score}_macro").over_labels
    assert not load_metric(f"{score}_weighted").over_labels
    assert not load_metric(f"{score}_macro").binary_only


def test_mcc_of_rows_of_one_label_is_an_error() -> None:
    """It is 0 for every model: the interval of a drop had no width, and every variant passed."""
    rows, labels = np.arange(100), np.zeros(100, np.int64)
    outcomes = ClassOutcomes(
        rows.astype(np.str_), labels, (rows < 90).astype(np.int64), ("yes", "perhaps"), strays=1
    )
    with pytest.raises(
        MeasureError, match=r"^mcc is 0 for every model if all rows have one label, here yes;"
    ):
        value("mcc", outcomes)
