"""Finds the roles of a table's columns (texts, label, score, group) by the options, by names, by values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from slimgate.data.guess_input import LABELS, Column, Kind, UserColumns
from slimgate.errors import DataError

SCORES = ("score", "similarity", "rating", "similarity_score", "relatedness", "stars", "target", "label")
GROUPS = ("group", "file", "document", "doc", "doc_id", "document_id", "user", "user_id", "author", "session")
TEXTS = ("text", "sentence", "content", "body", "review", "question", "comment", "message", "document")
PAIRS = (
    *(("question1", "question2"), ("sentence1", "sentence2"), ("premise", "hypothesis")),
    *(("text1", "text2"), ("text_a", "text_b"), ("query", "document"), ("query", "passage")),
    *(("anchor", "positive"), ("summary", "body"), ("question", "answer")),
)

Columns = Mapping[str, Column]


@dataclass(frozen=True)
class Look:
    """A table, the columns that the user stated, and guesses about all: the ExaminedRows of `Task.guess`.

    causal: whether the model is a language model. encoder_decoder: whether it reads a text and writes one.
    """

    table: pa.Table
    stated: UserColumns
    causal: bool
    encoder_decoder: bool = False

    @cached_property
    def columns(self) -> Columns:
        """Every column by name, except `id`, which numbers rows."""
        return look_at(self.table)

    def texts(self, used: Iterable[str] = ()) -> tuple[str, ...]:
        """One column of text or two. Raises DataError if there is none."""
        return texts_among(self.columns, self.stated, used)

    def label(self) -> str | None:
        """The column of classes. Raises DataError if its values are not plain."""
        column = label_among(self.columns, self.stated)
        if column is not None and self.columns[column].kind in ("list", "other"):
            raise DataError(f'column "{column}" has no plain values, expected a class in every row')
        return column

    def score(self) -> str | None:
        """The column of numbers. Whole numbers, such as stars, are classes unless the user names a task."""
        if self.stated.task is None:
            return score_among(self.columns, self.stated)
        numbers = [name for name, column in self.columns.items() if column.kind == "number"]
        return (
            self.stated.label or score_among(self.columns, self.stated) or (numbers[-1] if numbers else None)
        )


def look_at(table: pa.Table) -> dict[str, Column]:
    """Every column by name, except `id`, which numbers rows."""
    return {name: _column(name, table[name]) for name in table.column_names if name != "id"}


def texts_of(table: pa.Table, names: tuple[str, ...]) -> list[str]:
    """The texts of each row, joined."""
    columns = [[_text(value) for value in table[name].to_pylist()] for name in names]
    return [" ".join(row) for row in zip(*columns, strict=True)]


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str("" if value is None else value)


def _column(name: str, column: pa.ChunkedArray) -> Column:
    values = column.to_pylist()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return Column(name, len(values), "list", 0, sum(value is None for value in values), 0.0)
    if not _is_readable(column.type):
        return Column(name, len(values), "other", 0, 0, 0.0)
    texts = [str(value) for value in values if value is not None and str(value).strip()]
    distinct = set(texts)
    numbers = [_number(text) for text in distinct]
    kind: Kind = "text"
    if pa.types.is_boolean(column.type):
        kind = "flag"
    elif distinct and None not in numbers:
        kind = "number"
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    is_whole = kind == "number" and all(number == int(number) for number in numbers if number is not None)
    return Column(name, len(values), kind, len(distinct), len(values) - len(texts), words, is_whole)


def _is_readable(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    return any(test(kind) for test in tests)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def texts_among(columns: Columns, stated: UserColumns, used: Iterable[str]) -> tuple[str, ...]:
    """One or two columns of text: those that the user stated, else a pair of usual names, else by the values.

    used: columns that have another role. Raises DataError if there is none.
    """
    if stated.text:
        return stated.text
    unused = {n: c for n, c in columns.items() if n not in used and c.kind == "text"}
    free = {n: c for n, c in unused.items() if n.lower() not in GROUPS or c.mean_words >= 3}
    for pair in PAIRS:
        if set(pair) <= set(free):
            return pair
    candidates = [n for n, c in free.items() if c.mean_words >= 3 and c.distinct * 20 >= c.rows]
    if len(candidates) > 2:
        longest = max(candidates, key=lambda n: free[n].mean_words)
        candidates = [next((n for n in TEXTS if n in candidates), longest)]
    if not candidates and free:
        candidates = [max(free, key=lambda n: free[n].mean_words)]
    if not candidates:
        raise DataError(
            f"no column contains text; the columns are {', '.join(columns)}; name the text column with --text"
        )
    return tuple(candidates)


def measurement_columns(columns: Columns) -> list[str]:
    """Columns of numbers that measure something: more than ten different numbers, not all of them whole."""
    return [
        name
        for name, column in columns.items()
        if column.kind == "number"
        and not column.whole_numbers
        and not column.missing
        and column.distinct > 10
    ]


def label_among(columns: Columns, stated: UserColumns) -> str | None:
    """The column of classes: the stated column, else by its name, else the last with few short values.

    None if there is none. Raises DataError if a column is called "label" and all its values are equal.
    """
    if stated.label is not None:
        return stated.label
    not_classes = {*stated.text, *measurement_columns(columns)}
    free = {n: c for n, c in columns.items() if n not in not_classes and c.repeats and c.kind != "list"}
    by_lower_name = {name.lower(): name for name in free}
    for name in LABELS:
        if name in by_lower_name:
            return by_lower_name[name]
    constant = next((n for n, c in columns.items() if n.lower() == "label" and c.distinct == 1), None)
    if constant is not None and constant not in stated.text:
        raise DataError(
            f'column "{constant}" has the same value in all rows; name the label column with --label'
        )
    with_few_values = [
        n
        for n, c in free.items()
        if n.lower() not in GROUPS and c.mean_words <= 3 and c.distinct * 5 <= c.rows
    ]
    return with_few_values[-1] if with_few_values else None  # the label is usually the last column


def score_among(columns: Columns, stated: UserColumns) -> str | None:
    """The column of a measured number, unless a column has a usual name of classes."""
    measurements = measurement_columns(columns)
    if stated.label is not None:
        return stated.label if stated.label in measurements else None
    label = label_among(columns, stated)
    if not measurements or (label is not None and label.lower() in LABELS):
        return None
    named = next((name for name in measurements if name.lower() in SCORES), None)
    return named or (measurements[-1] if label is None else None)


def group_among(columns: Columns, used: Iterable[str]) -> str | None:
    """A column of documents, users or files, some of which have several rows; None if there is none."""
    for name, column in columns.items():
        fits = name.lower() in GROUPS and name not in used and not column.missing
        if fits and 10 <= column.distinct < column.rows:
            return name
    return None
