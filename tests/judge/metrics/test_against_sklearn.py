"""Every metric against scikit-learn, weighted, at 2, 3 and 7 classes, with a class missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from support.class_metrics import CLASS_METRICS
from support.versions import needs

from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes, Floats

pytest.importorskip("sklearn")
pytestmark = [
    # scikit-learn warns where a class is missing; what it returns there is what is compared
    pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
]


def sklearn_value(name: str, outcomes: ClassOutcomes, weights: Floats) -> float:
    from sklearn import metrics

    stem, _, average = name.partition("_")
    by_prediction: dict[str, Callable[..., Any]] = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "mcc": metrics.matthews_corrcoef,
    }
    averaged = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
    if stem in averaged:
        # of the labels that rows have: a prediction outside them is wrong, and no class of the mean
        labels = np.unique(outcomes.labels) if average in ("macro", "weighted") else None
        by_prediction[name] = partial(
            averaged[stem], average=average or "binary", labels=labels, zero_division=0
        )
    if name in by_prediction:
        return float(by_prediction[name](outcomes.labels, outcomes.predictions, sample_weight=weights))
    scores = outcomes.probabilities
    assert scores is not None
    labels = np.arange(len(outcomes.classes))
    if name == "log_loss":
        return float(metrics.log_loss(outcomes.labels, scores, labels=labels, sample_weight=weights))
    if name == "brier":
        return float(metrics.brier_score_loss(outcomes.labels, scores, labels=labels, sample_weight=weights))
    area = {"roc_auc": metrics.roc_auc_score, "pr_auc": metrics.average_precision_score}[name]
    # scikit-learn's own macro takes no weights beside labels
    classes = [1] if len(labels) == 2 else labels
    return float(np.mean([area(outcomes.labels == k, scores[:, k], sample_weight=weights) for k in classes]))


CASES = [
    pytest.param(name, k, marks=[needs("scikit-learn>=1.7")] if name == "brier" else [])
    for name in CLASS_METRICS
    for k in (2, 3, 7)
    # scikit-learn has no expected calibration error
    if (k == 2 or not load_metric(name).binary_only) and name != "ece"
]


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_the_value_is_scikit_learns(
    random_outcomes: Callable[..., ClassOutcomes], name: str, classes: int
) -> None:
    outcomes = random_outcomes(classes, rows=120, seed=classes)
    weights = np.random.default_rng(0).random(len(outcomes)) + 0.1
    ours = load_metric(name).statistic(outcomes, weights)
    assert ours == pytest.approx(sklearn_value(name, outcomes, weights), abs=1e-12)


@pytest.mark.parametrize("name", [name for name in CLASS_METRICS if load_metric(name).needs == "prediction"])
def test_missing_classes_count_as_in_scikit_learn(
    outcomes_of: Callable[..., ClassOutcomes], name: str
) -> None:
    two = load_metric(name).binary_only
    # of five classes 1 is only a label, 3 only a prediction, 4 neither
    outcomes = (
        outcomes_of([0, 0, 0, 0], [0, 1, 0, 0])
        if two
        else outcomes_of([0, 0, 1, 2, 2, 2], [0, 2, 0, 2, 2, 3], classes=5)
    )
    weights = np.ones(len(outcomes))
    assert load_metric(name).statistic(outcomes, weights) == pytest.approx(
        sklearn_value(name, outcomes, weights), abs=1e-12
    )
