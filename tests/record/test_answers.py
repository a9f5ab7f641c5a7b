"""slimgate.record.answers: what a model answered on a row, whatever the task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.outcome_tables import write_class_answers, write_values

from slimgate.errors import DataError
from slimgate.outcomes import ClassOutcomes
from slimgate.record.answers import read_answers
from slimgate.record.outcome_files import write_outcomes


def test_an_answer_of_a_classification_has_its_probable_classes(tmp_path: Path) -> None:
    path = write_class_answers(tmp_path / "int8.parquet", [0, 2], [[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    answers = read_answers(path)
    wrong, right = answers.read_answer(0), answers.read_answer(1)
    assert (answers.format_label(0), answers.format_label(1)) == ("cat", "owl")
    assert (wrong.model, wrong.prediction, wrong.right, wrong.label_probability) == (
        "int8",
        "dog",
        False,
        0.2,
    )
    assert wrong.top == [("dog", 0.7), ("cat", 0.2), ("owl", 0.1)]
    assert (right.prediction, right.right) == ("owl", True)


def test_what_a_run_writes_is_read_the_same(tmp_path: Path) -> None:
    outcomes = ClassOutcomes(
        ids=np.array(["a", "b"]),
        labels=np.array([1, 0]),
        predictions=np.array([1, 1]),
        classes=("no", "yes"),
        probabilities=np.array([[0.25, 0.75], [0.4, 0.6]]),
        groups=np.array([0, 0]),
    )
    write_outcomes(outcomes, tmp_path / "teacher.parquet")
    answers = read_answers(tmp_path / "teacher.parquet")
    assert answers.ids == ["a", "b"]
    assert answers.values == ()
    assert answers.read_answer(1).model_dump() == {
        "model": "teacher",
        "prediction": "yes",
        "right": False,
        "label_probability": 0.4,
        "top": [("yes", 0.6), ("no", 0.4)],
        "values": {},
    }


def test_predictions_without_probabilities_have_no_shares(tmp_path: Path) -> None:
    outcomes = ClassOutcomes(
        ids=np.array(["a"]), labels=np.array([1]), predictions=np.array([0]), classes=("no", "yes")
    )
    write_outcomes(outcomes, tmp_path / "x.parquet")
    answer = read_answers(tmp_path / "x.parquet").read_answer(0)
    assert (answer.prediction, answer.right, answer.label_probability, answer.top) == ("no", False, None, [])


def test_the_numbers_of_another_task_are_under_their_own_names(tmp_path: Path) -> None:
    path = write_values(tmp_path / "x.parquet", given_columns=["tokens"], nats=[4.5, 2.5], tokens=[3.0, 2.0])
    answers = read_answers(path)
    assert answers.values == ("nats",)
    assert answers.read_given_numbers(1) == {"tokens": 2.0}
    assert answers.read_answer(0).values == {"nats": 4.5}
    assert (answers.read_answer(0).right, answers.read_answer(0).prediction, answers.format_label(0)) == (
        None,
        None,
        None,
    )


def test_a_task_in_words_that_says_which_rows_are_right_has_both(tmp_path: Path) -> None:
    path = write_values(tmp_path / "x.parquet", right=[1.0, 0.0], answer=["a lamp", "a boat"])
    answers = read_answers(path)
    assert [(answer.prediction, answer.right) for answer in map(answers.read_answer, (0, 1))] == [
        ("a lamp", True),
        ("a boat", False),
    ]
    assert answers.values == ()


@pytest.mark.parametrize("content", [b"", b"not parquet"], ids=["empty", "other"])
def test_a_file_that_is_no_parquet_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet: no outcomes of a model could be read"):
        read_answers(tmp_path / "x.parquet")
