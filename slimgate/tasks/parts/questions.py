"""Rows as questions with choices: what a model reads, what it may answer, and which answer is right.

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
class Columns:
    """Where rows have their parts. choices: one column of lists, or a column for each choice."""

    context: str
    choices: str | tuple[str, ...]
    answer: str

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the context and the choices."""
        return (self.context, *((self.choices,) if isinstance(self.choices, str) else self.choices))


@dataclass(frozen=True)
class Form:
    """How a question is written. separator: between the prompt and an answer."""

    template: str
    letters: bool
    separator: str


@dataclass(frozen=True)
class Question:
    """context and choices as the row has them; right: the place of the right choice."""

    context: str
    choices: tuple[str, ...]
    right: int

    def prompt(self, form: Form) -> str:
        """What the model reads before its answer."""
        names = choice_names(len(self.choices))
        lines = "\n".join(f"{name}. {choice}" for name, choice in zip(names, self.choices, strict=True))
        parts = {CONTEXT: self.context, CHOICES: lines}
        return _PLACES.sub(lambda match: parts[match[0]], form.template)

    def answers(self, form: Form) -> tuple[str, ...]:
        """What may follow the prompt, one text for each choice."""
        shown = choice_names(len(self.choices)) if form.letters else self.choices
        return tuple(form.separator + shown_choice for shown_choice in shown)


def choice_names(count: int) -> tuple[str, ...]:
    """A, B, C, …; numbers from 1 where there are more choices than letters."""
    if count > MOST_LETTERS:
        return tuple(str(number) for number in range(1, count + 1))
    return tuple(ascii_uppercase[:count])


def read_questions(rows: Rows, columns: Columns) -> list[Question]:
    """A question of each row. Raises DataError that names the row, and what is wrong with it."""
    contexts = rows.table[columns.context].to_pylist()
    answers = rows.table[columns.answer].to_pylist()
    listed = _choice_values(rows, columns.choices)
    questions = []
    for row, context, values, answer in zip(rows.ids, contexts, listed, answers, strict=True):
        try:
            choices, labels = _read_choices(values)
            questions.append(Question(str(context or ""), choices, _right_place(answer, choices, labels)))
        except ValueError as error:
            raise DataError(f"row {row}: {error}") from None
    return questions


def _choice_values(rows: Rows, choices: str | tuple[str, ...]) -> list[Any]:
    if isinstance(choices, str):
        return list(rows.table[choices].to_pylist())
    columns = [rows.table[name].to_pylist() for name in choices]
    return [list(values) for values in zip(*columns, strict=True)]


def _read_choices(values: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The choices, and the names that the data gives them; no names where it gives none.

    values: a list, or {"text": […], "label": […]} as ARC and CommonsenseQA have it.
    """
    labels: Sequence[Any] = ()
    if isinstance(values, dict) and isinstance(values.get("text"), list):
        values, labels = values["text"], values.get("label") or ()
    if not isinstance(values, list):
        raise ValueError(
            f"choices are {values!r}, expected a list, {{text, label}} lists, or a column for each choice"
        )
    while values and values[-1] is None:  # a table with a column for each choice has rows of fewer choices
        values = values[:-1]
    texts = tuple("" if value is None else str(value) for value in values)
    if empty := [place for place, text in enumerate(texts) if not text.strip()]:
        raise ValueError(f"choice {empty[0]} is empty")
    if len(texts) < 2:
        raise ValueError(f"{len(texts)} choices were given, expected two or more")
    return texts, tuple(str(label) for label in labels)


def _right_place(answer: object, choices: tuple[str, ...], labels: tuple[str, ...]) -> int:
    """The place of the choice that an answer names. Raises ValueError where it names none, or two.

    An answer is a name that the data gives the choices, else the text of one of them, a letter, or a number
    that counts from 0.
    """
    if answer is None:
        raise ValueError("the answer is null; leave such rows out of the source")
    text = str(answer)
    if labels:
        return _only_place(text, labels, "labels")
    number = _to_number(answer)
    if text in choices:
        place = _only_place(text, choices, "choices")
        if not isinstance(answer, str) and number != place and number in range(len(choices)):
            raise ValueError(
                f"answer {answer!r} is the text of choice {place} and the number of another; give letters "
                "in the column of answers"
            )
        return place
    if number is None and len(text) == 1 and text in ascii_uppercase:
        number = ascii_uppercase.index(text)
    if number is None or not 0 <= number < len(choices):
        raise ValueError(
            f"answer {answer!r} names none of the {len(choices)} choices; expected a number from 0 to "
            f"{len(choices) - 1}, a letter up to {choice_names(len(choices))[-1]}, or the text of a choice"
        )
    return number


def _to_number(answer: object) -> int | None:
    """The whole number that a value is, or that a text of digits names."""
    if isinstance(answer, bool):
        return int(answer)
    if isinstance(answer, int) or (isinstance(answer, float) and answer.is_integer()):
        return int(answer)
    return int(answer) if isinstance(answer, str) and answer.isascii() and answer.isdigit() else None


def _only_place(text: str, names: Sequence[str], role: str) -> int:
    places = [place for place, name in enumerate(names) if name == text]
    if len(places) != 1:
        often = "none" if not places else f"{len(places)}"
        raise ValueError(f"answer {text!r} is {often} of the {role} {', '.join(names)}; expected one of them")
    return places[0]
