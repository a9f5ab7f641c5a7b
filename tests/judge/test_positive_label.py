"""The label that precision, recall, F1 and PR-AUC of two labels are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slimgate import class_outcomes
from slimgate.errors import MeasureError, SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import list_known_metrics, load_metric
from slimgate.judge.metrics.base import compute_value
from slimgate.judge.metrics.classes import find_conventional_positive
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import ClassOutcomes
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.results.base import Verdict

OF_POSITIVE = ("precision", "recall", "f1", "pr_auc")
FRAUD = ["fraud"] * 30 + ["ok"] * 970


def answers(hits: int, *, positive: str | None = None) -> ClassOutcomes:
    """The first `hits` frauds found, and no false alarm."""
    predictions = ["fraud"] * hits + ["ok"] * (1000 - hits)
    sure = np.array([[0.9, 0.1] if prediction == "fraud" else [0.2, 0.8] for prediction in predictions])
    return class_outcomes(FRAUD, predictions, probabilities=sure, classes=["fraud", "ok"], positive=positive)


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (("0", "1"), "1"),
        (("1", "0"), "1"),
        (("-1", "1"), "1"),
        (("False", "True"), "True"),
        (("no", "yes"), "yes"),
        (("neg", "pos"), "pos"),
        (("NEGATIVE", "POSITIVE"), "POSITIVE"),
        (("LABEL_0", "LABEL_1"), "LABEL_1"),
        (("spam", "not_spam"), "spam"),
        (("non-toxic", "toxic"), "toxic"),
        (("not duplicate", "duplicate"), "duplicate"),
        (("entailment", "not_entailment"), "entailment"),
    ],
)
def test_a_usual_pair_has_its_positive_label(labels: tuple[str, str], positive: str) -> None:
    assert find_conventional_positive(labels) == positive
    assert find_conventional_positive(labels[::-1]) == positive


@pytest.mark.parametrize(
    "labels",
    [("fraud", "ok"), ("a", "b"), ("ham", "spam"), ("safe", "unsafe"), ("1", "2"), ("0", "1", "2"), ("x",)],
)
def test_no_other_pair_is_guessed(labels: tuple[str, ...]) -> None:
    assert find_conventional_positive(labels) is None


@pytest.mark.parametrize("name", OF_POSITIVE)
def test_without_it_a_metric_is_refused_with_both_counts(name: str) -> None:
    with pytest.raises(
        SuiteError, match=rf'{name} needs the positive .* "fraud" \(30 rows\) and "ok" \(970 rows\)'
    ):
        judge_quality(load_metric(name), answers(30), answers(0), [QualityBudget("drop_points", 5)])


@pytest.mark.parametrize("name", OF_POSITIVE)
def test_a_variant_that_never_says_it_fails(name: str) -> None:
    teacher, variant = answers(30, positive="fraud"), answers(0, positive="fraud")
    judged = judge_quality(load_metric(name), teacher, variant, [QualityBudget("drop_points", 5)])
    assert judged.verdict is Verdict.FAIL
    assert (judged.teacher, judged.value) == (1.0, pytest.approx(0.03 if name == "pr_auc" else 0.0))


def test_the_other_label_is_another_value() -> None:
    metric = load_metric("recall")
    assert compute_value(metric, answers(15, positive="fraud")) == 0.5
    assert compute_value(metric, answers(15, positive="ok")) == 1.0


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in list_known_metrics()
        if load_metric(name).needs in ("prediction", "probabilities") and name not in OF_POSITIVE
    ],
)
def test_every_other_metric_is_the_same_for_either(name: str) -> None:
    teacher = answers(20)
    values = [
        compute_value(load_metric(name), replace(teacher, positive=label)) for label in (None, "fraud", "ok")
    ]
    assert values == pytest.approx([values[0]] * 3)


def test_outcomes_on_disk_keep_it_and_their_strays(tmp_path: Path) -> None:
    written = class_outcomes(FRAUD, ["unknown", *FRAUD[1:]], positive="fraud")
    write_outcomes(written, tmp_path / "one.parquet")
    outcomes = read_outcomes(tmp_path / "one.parquet")
    assert isinstance(outcomes, ClassOutcomes)
    assert (outcomes.positive, outcomes.strays, outcomes.classes) == ("fraud", 1, ("fraud", "ok", "unknown"))


def test_a_positive_label_that_is_none_is_refused() -> None:
    with pytest.raises(MeasureError, match='positive "scam" is not one of the labels fraud, ok'):
        answers(3, positive="scam")


@pytest.mark.parametrize("name", ["f1", "mcc", "f1_macro", "balanced_accuracy", "precision"])
def test_rows_of_one_label_pass_nothing(name: str) -> None:
    outcomes = class_outcomes(["no"] * 500, ["no"] * 500, classes=["no", "yes"])
    judged = judge_quality(load_metric(name), outcomes, outcomes, [QualityBudget("drop_points", 5)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.withheld == "no gate row has the label yes, which counts as much as every other"


def test_a_rare_class_is_named_with_both_recalls() -> None:
    labels = ["rare"] * 4 + ["a", "b"] * 300
    teacher = class_outcomes(labels, labels)
    variant = class_outcomes(labels, ["a"] * 3 + labels[3:])
    judged = judge_quality(load_metric("f1_macro"), teacher, variant, [])
    assert "rows that teacher and variant have right: rare 4 and 1 of 4" in judged.warnings
