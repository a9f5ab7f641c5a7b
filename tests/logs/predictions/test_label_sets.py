"""Predictions that are no label, labels without rows, and labels in another spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.prediction_rows import write_predictions

from slimgate import assert_within
from slimgate.errors import DataError, SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import compute_value
from slimgate.judge.quality import judge_quality
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.pairs import Pair, read_pair
from slimgate.results.base import Verdict

NAMES = ColumnNames()
N = 400
IDS = list(range(N))
LABELS = ["neg", "pos"] * (N // 2)


def read_files(folder: Path, teacher: dict[str, Any], variant: dict[str, Any], **stated: Any) -> Pair:
    rows = {"id": IDS, "label": LABELS}
    files = [
        write_predictions(folder / f"{name}.jsonl", {**rows, **columns})
        for name, columns in (("t", teacher), ("v", variant))
    ]
    return read_pair(*files, NAMES, **stated)


def answer_wrongly(rows: int, answer: str | None = None) -> list[str]:
    """Predictions with the first rows wrong; answer: what is said there, default the other label."""
    other = [answer or ("pos" if label == "neg" else "neg") for label in LABELS]
    return other[:rows] + LABELS[rows:]


@pytest.mark.parametrize("name", ["f1_macro", "precision_macro", "recall_macro", "balanced_accuracy"])
def test_a_stray_prediction_never_makes_a_loss_a_gain(tmp_path: Path, name: str) -> None:
    paired = read_files(
        tmp_path, {"prediction": answer_wrongly(6, "unknown")}, {"prediction": answer_wrongly(80)}
    )
    assert paired.teacher.label_set == ("neg", "pos")
    assert paired.teacher.strays == 1
    judged = judge_quality(
        load_metric(name), paired.teacher, paired.variant, [QualityBudget("drop_points", 2)]
    )
    assert judged.verdict is Verdict.FAIL
    assert judged.strays == (6, 0)
    assert judged.drop_points > 15


def test_a_stray_is_wrong_and_no_class_of_the_mean(tmp_path: Path) -> None:
    paired = read_files(tmp_path, {"prediction": answer_wrongly(4, "unknown")}, {"prediction": LABELS})
    # 2 of 200 rows of each class are lost, and no other row is said to be of it: F1 = 2 * 198 / (200 + 198)
    assert compute_value(load_metric("f1_macro"), paired.teacher) == pytest.approx(396 / 398)
    assert compute_value(load_metric("accuracy"), paired.teacher) == 396 / 400
    assert compute_value(load_metric("f1_macro"), paired.variant) == 1


def test_different_strays_are_one_class_for_a_metric(tmp_path: Path) -> None:
    strays = [f"text {row}" for row in range(90)] + LABELS[90:]
    paired = read_files(tmp_path, {"prediction": LABELS}, {"prediction": strays})
    assert paired.variant.strays == 90
    single = read_files(tmp_path, {"prediction": LABELS}, {"prediction": answer_wrongly(90, "text")})
    for name in ("f1_macro", "mcc", "accuracy"):
        metric = load_metric(name)
        assert compute_value(metric, paired.variant) == compute_value(metric, single.variant)


def test_a_class_of_both_files_probabilities_is_a_label(tmp_path: Path) -> None:
    columns = {"p_neg": [0.5, 0.2] * 200, "p_pos": [0.3, 0.6] * 200, "p_neutral": [0.2, 0.2] * 200}
    paired = read_files(tmp_path, columns, columns)
    assert paired.teacher.label_set == ("neg", "neutral", "pos")
    judged = judge_quality(
        load_metric("f1_macro"), paired.teacher, paired.variant, [QualityBudget("drop_points", 5)]
    )
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.withheld == "no gate row has the label neutral, which counts as much as every other"


def test_a_class_of_one_files_probabilities_is_a_stray(tmp_path: Path) -> None:
    columns = {"p_neg": [0.7, 0.2] * 200, "p_pos": [0.3, 0.8] * 200}
    odd = {"p_neg": [0.5, 0.2] * 200, "p_pos": [0.3, 0.6] * 200, "p_none": [0.2, 0.2] * 200}
    paired = read_files(tmp_path, odd, columns)
    assert paired.teacher.label_set == ("neg", "pos")
    assert paired.teacher.strays == 1
    # brier of two labels is half the sum over all three: rows of neg (0.25 + 0.09 + 0.04) / 2, of pos 0.12
    assert compute_value(load_metric("brier"), paired.teacher) == pytest.approx((0.19 + 0.12) / 2)


@pytest.mark.parametrize("label", ["Pos", " pos", "POS", "pos "])
def test_a_label_in_another_spelling_is_neither_right_nor_wrong(tmp_path: Path, label: str) -> None:
    spelled = [label if row == 1 else answer for row, answer in enumerate(LABELS)]
    for files in (
        ({"prediction": spelled}, {"prediction": LABELS}),
        ({"prediction": LABELS}, {"prediction": spelled}),
    ):
        with pytest.raises(DataError, match=r'1 of 400 rows predict ".*", and the label is "pos"'):
            read_files(tmp_path, *files)


@pytest.mark.parametrize(
    ("labels", "stray"), [((0, 1), "1.0"), ((0, 1), "True"), (("false", "true"), "1"), (("no", "yes"), "YES")]
)
def test_numbers_and_truths_have_spellings_too(tmp_path: Path, labels: tuple[Any, ...], stray: str) -> None:
    rows = {"id": IDS, "label": [*labels] * 200}
    files = [
        write_predictions(tmp_path / f"{name}.jsonl", {**rows, "prediction": answers})
        for name, answers in (("t", [*labels] * 200), ("v", [labels[0], stray, *([*labels] * 199)]))
    ]
    with pytest.raises(DataError, match="cannot tell whether the answer is right"):
        read_pair(*files, NAMES)


def test_a_probability_of_a_label_in_another_spelling_is_refused(tmp_path: Path) -> None:
    columns = {"p_neg": [0.7, 0.2] * 200, "p_Pos": [0.3, 0.8] * 200}
    with pytest.raises(DataError, match=r'it has a probability of "Pos", and the label is "pos"'):
        read_files(tmp_path, columns, {"prediction": LABELS})


def test_labels_in_two_spellings_must_be_declared(tmp_path: Path) -> None:
    """Where half of the labels are spelled as no model answers, a loss of 6.9 points would be one of 3.5."""
    labels = ["us", "US"] * 200
    files = [
        write_predictions(tmp_path / f"{name}.jsonl", {"id": IDS, "label": labels, "prediction": labels})
        for name in "tv"
    ]
    with pytest.raises(DataError, match=r'the labels "US", "us" differ only in case, .* with --labels'):
        read_pair(*files, NAMES)
    warning, _same = read_pair(*files, NAMES, labels=("US", "us")).warnings
    assert warning.endswith('the labels "US", "us" differ only in spelling, and count as 2 classes')


@pytest.mark.parametrize("absent", ["nan", "NaN", " "])
def test_a_label_that_looks_missing_is_refused(tmp_path: Path, absent: str) -> None:
    """Such rows are wrong in both files, so that a loss of 14.8 points would be one of 13."""
    labels = [absent if row % 7 == 0 else label for row, label in enumerate(LABELS)]
    columns = {"label": labels, "prediction": LABELS}
    message = rf'58 of 400 rows have the label "{absent}", which no file predicts'
    with pytest.raises(DataError, match=message):
        read_files(tmp_path, columns, columns)
    declared = read_files(tmp_path, columns, columns, labels=("neg", "pos", absent))
    assert declared.teacher.label_set == ("neg", "pos", absent)
    predicted = read_files(tmp_path, {**columns, "prediction": labels}, columns)
    assert set(predicted.teacher.label_set) == {"neg", "pos", absent}


def test_declared_labels_are_the_classes_of_both(tmp_path: Path) -> None:
    files = {"prediction": answer_wrongly(3)}, {"prediction": answer_wrongly(5)}
    assert read_files(tmp_path, *files, labels=("pos", "neg", "mixed")).variant.label_set == (
        "pos",
        "neg",
        "mixed",
    )
    with pytest.raises(DataError, match=r'label "neg", "pos" is not one of --labels a,b'):
        read_files(tmp_path, *files, labels=("a", "b"))
    with pytest.raises(SuiteError, match='"a" was given twice'):
        read_files(tmp_path, *files, labels=("a", "a"))
    with pytest.raises(SuiteError, match="expected at least two labels"):
        read_files(tmp_path, *files, labels=("a",))


def test_numbered_probabilities_are_of_labels_that_agree(tmp_path: Path) -> None:
    numbered = {"p_0": [0.9, 0.1] * 200, "p_1": [0.1, 0.9] * 200}
    with pytest.raises(
        DataError, match=r"nothing says which label each number means; give the labels .* --labels neg,pos,"
    ):
        read_files(tmp_path, numbered, {"prediction": LABELS})
    turned = {"p_0": numbered["p_1"], "p_1": numbered["p_0"]}
    with pytest.raises(DataError, match=r"is the prediction on only 0\.0 % of the rows"):
        read_files(tmp_path, {**turned, "prediction": LABELS}, {"prediction": LABELS})
    paired = read_files(tmp_path, turned, {"prediction": LABELS}, labels=("pos", "neg"))
    assert compute_value(load_metric("accuracy"), paired.teacher) == 1
    assert compute_value(load_metric("log_loss"), paired.teacher) == pytest.approx(0.1054, abs=1e-4)


def test_a_missing_number_is_a_missing_prediction(tmp_path: Path) -> None:
    rows = {"id": IDS, "label": [0.0, 1.0] * 200}
    files = [
        write_predictions(
            tmp_path / f"{name}{suffix}", {**rows, "prediction": [first, *([1.0, 0.0] * 199), 1.0]}
        )
        for name, suffix, first in (("t", ".parquet", float("nan")), ("v", ".jsonl", 0.0))
    ]
    with pytest.raises(DataError, match=r'column "prediction" has no value in 1 of 400 rows'):
        read_pair(*files, NAMES)


def test_a_class_with_probabilities_in_one_file_only_is_refused(tmp_path: Path) -> None:
    narrow, wide = {"p_neg": [1.0] * 400}, {"p_neg": [0.9, 0.2] * 200, "p_pos": [0.1, 0.8] * 200}
    with pytest.raises(DataError, match=r't\.jsonl has no probability of "pos", but .*v\.jsonl has one'):
        read_files(tmp_path, {**narrow, "prediction": LABELS}, wide)
    paired = read_files(
        tmp_path, {**narrow, "prediction": LABELS}, {**narrow, "prediction": answer_wrongly(3)}
    )
    assert sum("taken as 0" in warning for warning in paired.warnings) == 2


def test_files_with_the_same_answers_are_warned_of(tmp_path: Path) -> None:
    [warning] = read_files(tmp_path, {"prediction": LABELS}, {"prediction": LABELS}).warnings
    assert warning == "all 400 answers are the same: check that these are the files of two models"
    with pytest.warns(UserWarning, match="all 400 answers are the same"):
        assert_within(tmp_path / "t.jsonl", tmp_path / "v.jsonl")
