"""Rows as questions with choices: what a model reads, how it may answer, and which answer is right.

context = "What is 3 + 4?", choices = ["6", "7", "8"], answer = 1
prompt  "What is 3 + 4?"                                 answers  " 6", " 7", " 8"
letters "What is 3 + 4?\\nA. 6\\nB. 7\\nC. 8\\nAnswer:"    answers  " A", " B", " C"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from slimgate.errors import DataError
from slimgate.plugins.rows import Rows

CONTEXT, CHOICES = "{context}", "{choices}"
PLAIN, LETTERED = CONTEXT, f"{CONTEXT}\n{CHOICES}\nAnswer:"
_PLACES = re.compile(r"\{(?:context|choices)\}")
# The largest number of choices that letters can name.
MOST_LETTERS = len(ascii_uppercase)


@dataclass(frozen=True)
class QuestionColumns:
    """The columns of a question's parts. choices: one column of lists, or a column for each choice."""

    context: str
    choices: str | tuple[str, ...]
    answer: str

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the context and the choices."""
        return (self.context, *((self.choices,) if isinstance(self.choices, str) else self.choices))


@dataclass(frozen=True)
class QuestionForm:
    """How a question is written. separator: the text between the prompt and an answer."""

    template: str
    letters: bool
    separator: str


@dataclass(frozen=True)
class Question:
    """context and choices as in the row; right: the position of the right choice."""

    context: str
    choices: tuple[str, ...]
    right: int

    def format_prompt(self, form: QuestionForm) -> str:
        """The text that the model reads before its answer."""
        names = list_choice_names(len(self.choices))
        lines = "\n".join(f"{name}. {choice}" for name, choice in zip(names, self.choices, strict=True))
        parts = {CONTEXT: self.context, CHOICES: lines}
        return _PLACES.sub(lambda match: parts[match[0]], form.template)

    def list_answers(self, form: QuestionForm) -> tuple[str, ...]:
        """The possible continuations of the prompt, one text for each choice."""
        shown = list_choice_names(len(self.choices)) if form.letters else self.choices
        return tuple(form.separator + shown_choice for shown_choice in shown)


def list_choice_names(count: int) -> tuple[str, ...]:
    """A, B, C, …; numbers from 1 if there are more choices than letters."""
    if count > MOST_LETTERS:
        return tuple(str(number) for number in range(1, count + 1))
    return tuple(ascii_uppercase[:count])


def read_questions(rows: Rows, columns: QuestionColumns) -> list[Question]:
    """A question for each row. Raises DataError that names the row, and what is wrong with it."""
    contexts = rows.table[columns.context].to_pylist()
    answers = rows.table[columns.answer].to_pylist()
    listed = _read_choice_values(rows, columns.choices)
    questions, unclear = list[Question](), list[str]()
    has_indices = False  # whether a row names a choice by its index; then all rows may do so
    for row, context, values, answer in zip(rows.ids, contexts, listed, answers, strict=True):
        try:
            choices, labels = _read_choices(values)
            questions.append(
                Question(str(context or ""), choices, _find_right_choice(answer, choices, labels))
            )
        except ValueError as error:
            raise DataError(f"row {row}: {error}") from None
        index = None if labels else _read_choice_index(answer)
        if index in range(len(choices)):
            has_indices |= str(answer) not in choices
            unclear += [f"row {row}: answer {answer!r}"] if index != questions[-1].right else []
    if has_indices and unclear:
        raise DataError(
            f"{unclear[0]} is the text of one choice and the number or letter of another, and other rows "
            "have numbers or letters; give the text of the right choice in every row"
        )
    return questions


def _read_choice_values(rows: Rows, choices: str | tuple[str, ...]) -> list[Any]:
    if isinstance(choices, str):
        return list(rows.table[choices].to_pylist())
    columns = [rows.table[name].to_pylist() for name in choices]
    return [list(values) for values in zip(*columns, strict=True)]


def _read_choices(values: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The choices, and their names in the data, if it has any.

    values: a list, or {"text": […], "label": […]} as in ARC and CommonsenseQA.
    """
    labels: Sequence[Any] = ()
    if isinstance(values, dict) and isinstance(values.get("text"), list):
        values, labels = values["text"], values.get("label") or ()
    if not isinstance(values, list):
        raise ValueError(
            f"choices are {values!r}, expected a list, {{text, label}} lists, or a column for each choice"
        )
    # a table with a column for each choice may have rows with fewer choices
    while values and values[-1] is None:
        values = values[:-1]
    texts = tuple("" if value is None else str(value) for value in values)
    if empty := [index for index, text in enumerate(texts) if not text.strip()]:
        raise ValueError(f"choice {empty[0]} is empty")
    if len(texts) < 2:
        raise ValueError(f"{len(texts)} choices were given, expected two or more")
    if labels and len(labels) != len(texts):
        raise ValueError(f"{len(texts)} choices and {len(labels)} labels were given, expected one each")
    return texts, tuple(str(label) for label in labels)


def _find_right_choice(answer: object, choices: tuple[str, ...], labels: tuple[str, ...]) -> int:
    """The position of the choice that an answer names. Raises ValueError if it names none, or two.

    An answer is a choice's name in the data, else the text of a choice, a letter, or a number that counts
    from 0.
    """
    if answer is None:
        raise ValueError("the answer is null; leave such rows out of the source")
    text = str(answer)
    if labels:
        return _find_only_index(text, labels, "labels")
    number = _read_choice_index(answer)
    if text in choices:
        index = _find_only_index(text, choices, "choices")
        if not isinstance(answer, str) and number != index and number in range(len(choices)):
            raise ValueError(
                f"answer {answer!r} is the text of choice {index} and the number of another; give letters "
                "in the column of answers"
            )
        return index
    if number is None or not 0 <= number < len(choices):
        raise ValueError(
            f"answer {answer!r} names none of the {len(choices)} choices; expected a number from 0 to "
            f"{len(choices) - 1}, a letter up to {list_choice_names(len(choices))[-1]}, or the text of a "
            "choice"
        )
    return number


def _read_choice_index(answer: object) -> int | None:
    """The index that a whole number, a text of digits, or a capital letter names; else None."""
    if isinstance(answer, str) and len(answer) == 1 and answer in ascii_uppercase:
        return ascii_uppercase.index(answer)
    if isinstance(answer, bool):
        return int(answer)
    if isinstance(answer, int) or (isinstance(answer, float) and answer.is_integer()):
        return int(answer)
    return int(answer) if isinstance(answer, str) and answer.isascii() and answer.isdigit() else None


def _find_only_index(text: str, names: Sequence[str], role: str) -> int:
    """The index of the only name that equals the text. Raises ValueError if none or several do."""
    indices = [index for index, name in enumerate(names) if name == text]
    if len(indices) != 1:
        often = "none" if not indices else f"{len(indices)}"
        raise ValueError(f"answer {text!r} is {often} of the {role} {', '.join(names)}; expected one of them")
    return indices[0]
