"""Rows as questions with choices."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from slimgate.errors import DataError
from slimgate.plugins.rows import Rows
from slimgate.tasks.parts.questions import (
    Question,
    QuestionColumns,
    QuestionForm,
    list_choice_names,
    read_questions,
)

LISTED = QuestionColumns("q", "c", "a")


def read_one(choices: Any, answer: Any) -> Question:
    rows = Rows(pa.Table.from_pylist([{"id": "r0", "q": "What?", "c": choices, "a": answer}]))
    return read_questions(rows, LISTED)[0]


@pytest.mark.parametrize(
    ("choices", "answer", "right"),
    [
        (["red", "blue"], 1, 1),
        (["red", "blue"], 1.0, 1),
        (["red", "blue"], "1", 1),
        (["red", "blue"], "B", 1),
        (["red", "blue"], "blue", 1),
        (["yes", "no"], False, 0),
        (["3", "5"], "5", 1),
        (["1", "0"], "0", 1),
        (["7", "9"], 9, 1),
        (["B", "A"], "A", 1),
        ({"text": ["red", "blue"], "label": ["1", "2"]}, "2", 1),
    ],
)
def test_an_answer_is_a_number_a_letter_a_text_or_a_label(choices: Any, answer: Any, right: int) -> None:
    assert read_one(choices, answer).right == right


@pytest.mark.parametrize(
    ("choices", "answer", "message"),
    [
        (
            ["red", "blue"],
            2,
            "answer 2 names none of the 2 choices; expected a number from 0 to 1, a letter up",
        ),
        (["red", "blue"], -1, "answer -1 names none"),
        (["red", "blue"], "C", "answer 'C' names none"),
        (["red", "blue"], None, "the answer is null"),
        (["red", "red"], "red", "answer 'red' is 2 of the choices red, red"),
        (["1", "0"], 0, "answer 0 is the text of choice 1 and the number of another; give letters"),
        (["red"], 0, "1 choices were given, expected two or more"),
        (["red", " "], 0, "choice 1 is empty"),
        ("red", 0, "choices are 'red', expected a list"),
        ({"text": ["red", "blue"], "label": ["A", "B"]}, "C", "answer 'C' is none of the labels A, B"),
        ({"text": ["red", "blue"], "label": ["A", "B", "C"]}, "C", "2 choices and 3 labels were given"),
        ({"text": ["red", "blue"], "label": ["A"]}, "A", "2 choices and 1 labels were given"),
    ],
)
def test_a_row_that_is_no_question_is_named(choices: Any, answer: Any, message: str) -> None:
    with pytest.raises(DataError, match="row r0: ") as error:
        read_one(choices, answer)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("choices", "answers", "unclear"),
    [
        ([["red", "blue"], ["1", "0"]], ["1", "0"], "0"),
        ([["red", "blue"], ["B", "A"]], ["B", "A"], "A"),
        ([["red", "blue"], ["0", "1"]], ["1", "0"], None),
        ([["red", "blue"], ["1", "0"]], ["blue", "0"], None),
    ],
    ids=["numbers of a csv", "letters", "the same choice", "texts"],
)
def test_a_text_that_is_also_a_place_is_unclear(
    choices: list[list[str]], answers: list[str], unclear: str | None
) -> None:
    """In a csv of numbers, the right answer of such a row was another choice, without a word."""
    rows = Rows(pa.table({"id": ["r0", "r1"], "q": ["What?"] * 2, "c": choices, "a": answers}))
    if unclear is None:
        assert [question.right for question in read_questions(rows, LISTED)] == [1, choices[1].index("0")]
        return
    with pytest.raises(DataError, match=f"row r1: answer '{unclear}' is the text of one choice and"):
        read_questions(rows, LISTED)


def test_choices_may_have_a_column_each_and_rows_fewer_of_them() -> None:
    table = pa.table(
        {
            "id": ["0", "1"],
            "q": ["Q", "Q"],
            "x": ["a", "b"],
            "y": ["c", "d"],
            "z": ["e", None],
            "a": ["C", "B"],
        }
    )
    questions = read_questions(Rows(table), QuestionColumns("q", ("x", "y", "z"), "a"))
    assert [question.choices for question in questions] == [("a", "c", "e"), ("b", "d")]
    assert [question.right for question in questions] == [2, 1]


def test_a_template_is_filled_once_whatever_the_texts_hold() -> None:
    question = Question("a {choices} b", ("{context}", "d"), 0)
    form = QuestionForm("Q: {context}\n{choices}\nA:", True, " ")
    assert question.format_prompt(form) == "Q: a {choices} b\nA. {context}\nB. d\nA:"
    assert question.list_answers(form) == (" A", " B")
    assert question.list_answers(QuestionForm("{context}", False, "")) == ("{context}", "d")


def test_more_choices_than_letters_have_numbers() -> None:
    assert list_choice_names(3) == ("A", "B", "C")
    assert list_choice_names(26)[-1] == "Z"
    assert list_choice_names(27)[0] == "1"
