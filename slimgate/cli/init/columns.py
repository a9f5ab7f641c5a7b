"""Guesses the role of each column of a table (text, label, score, group) from options, names and values."""

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
class ExaminedTable:
    """A table, the columns that the user stated, and guesses about the others. `Task.guess` gets it.

    It implements ExaminedRows. causal: whether the model is a language model. encoder_decoder: whether the
    model reads a text and writes one.
    """

    table: pa.Table
    stated: UserColumns
    causal: bool
    encoder_decoder: bool = False

    @cached_property
    def columns(self) -> Columns:
        """Every column by name, except `id`, which numbers rows."""
        return {
            name: _describe_column(name, self.table[name]) for name in self.table.column_names if name != "id"
        }

    def texts(self, used: Iterable[str] = ()) -> tuple[str, ...]:
        """One or two columns of text. Raises DataError if there is none."""
        return guess_texts(self.columns, self.stated, used)

    def label(self) -> str | None:
        """The column of classes. Raises DataError if its values are lists or objects."""
        column = guess_label(self.columns, self.stated)
        if column is not None and self.columns[column].kind in ("list", "other"):
            raise DataError(f'column "{column}" has lists or objects, expected a class in every row')
        return column

    def score(self) -> str | None:
        """The column of numbers. Whole numbers, such as stars, are classes unless the user names a task."""
        if self.stated.task is None:
            return guess_score(self.columns, self.stated)
        numbers = [name for name, column in self.columns.items() if column.kind == "number"]
        return (
            self.stated.label or guess_score(self.columns, self.stated) or (numbers[-1] if numbers else None)
        )


def join_texts(table: pa.Table, names: tuple[str, ...]) -> list[str]:
    """The texts of each row, joined by a space."""
    columns = [[_convert_to_text(value) for value in table[name].to_pylist()] for name in names]
    return [" ".join(row) for row in zip(*columns, strict=True)]


def _convert_to_text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str("" if value is None else value)


def _describe_column(name: str, column: pa.ChunkedArray) -> Column:
    values = column.to_pylist()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        missing = sum(value is None for value in values)
        return Column(name, len(values), kind="list", distinct=0, missing=missing, mean_words=0.0)
    if not _is_readable(column.type):
        return Column(name, len(values), kind="other", distinct=0, missing=0, mean_words=0.0)
    texts = [str(value) for value in values if value is not None and str(value).strip()]
    distinct = set(texts)
    numbers = [_parse_number(text) for text in distinct]
    kind: Kind = "text"
    if pa.types.is_boolean(column.type):
        kind = "flag"
    elif distinct and None not in numbers:
        kind = "number"
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    is_whole = kind == "number" and all(number == int(number) for number in numbers if number is not None)
    return Column(
        name,
        len(values),
        kind=kind,
        distinct=len(distinct),
        missing=len(values) - len(texts),
        mean_words=words,
        whole_numbers=is_whole,
    )


def _is_readable(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (
        *(types.is_string, types.is_large_string, types.is_string_view),
        *(types.is_integer, types.is_floating, types.is_boolean),
    )
    return any(test(kind) for test in tests)


def _parse_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def guess_texts(columns: Columns, stated: UserColumns, used: Iterable[str]) -> tuple[str, ...]:
    """One or two columns of text: the stated ones, else a pair with usual names, else chosen by their values.

    used: columns that have another role. Raises DataError if there is no column of text.
    """
    if stated.text:
        return stated.text
    unused = {name: column for name, column in columns.items() if name not in used and column.kind == "text"}
    free = {
        name: column
        for name, column in unused.items()
        if name.lower() not in GROUPS or column.mean_words >= 3
    }
    for pair in PAIRS:
        if set(pair) <= set(free):
            return pair
    candidates = [
        name
        for name, column in free.items()
        if column.mean_words >= 3 and column.distinct * 20 >= column.rows
    ]
    if len(candidates) > 2:
        longest = max(candidates, key=lambda name: free[name].mean_words)
        candidates = [next((name for name in TEXTS if name in candidates), longest)]
    if not candidates and free:
        candidates = [max(free, key=lambda name: free[name].mean_words)]
    if not candidates:
        raise DataError(
            f"no column contains text; the columns are {', '.join(columns)}; name the text column with --text"
        )
    return tuple(candidates)


def list_measurements(columns: Columns) -> list[str]:
    """The columns of measured numbers: more than ten different numbers, some of which are not whole."""
    return [
        name
        for name, column in columns.items()
        if column.kind == "number"
        and not column.whole_numbers
        and not column.missing
        and column.distinct > 10
    ]


def guess_label(columns: Columns, stated: UserColumns) -> str | None:
    """The column of classes: the stated one, else one with a usual name, else the last with few short values.

    None if there is none. Raises DataError if a column is named "label" and all its values are equal.
    """
    if stated.label is not None:
        return stated.label
    not_classes = {*stated.text, *list_measurements(columns)}
    free = {
        name: column
        for name, column in columns.items()
        if name not in not_classes and column.has_few_values and column.kind != "list"
    }
    by_lower_name = {name.lower(): name for name in free}
    for name in LABELS:
        if name in by_lower_name:
            return by_lower_name[name]
    constant = next(
        (name for name, column in columns.items() if name.lower() == "label" and column.distinct == 1), None
    )
    if constant is not None and constant not in stated.text:
        raise DataError(
            f'column "{constant}" has the same value in all rows; name the label column with --label'
        )
    with_few_values = [
        name
        for name, column in free.items()
        if name.lower() not in GROUPS and column.mean_words <= 3 and column.distinct * 5 <= column.rows
    ]
    return with_few_values[-1] if with_few_values else None  # the label is usually the last column


def guess_score(columns: Columns, stated: UserColumns) -> str | None:
    """A column of measured numbers; None if another column has a usual name of classes."""
    measurements = list_measurements(columns)
    if stated.label is not None:
        return stated.label if stated.label in measurements else None
    label = guess_label(columns, stated)
    if not measurements or (label is not None and label.lower() in LABELS):
        return None
    named = next((name for name in measurements if name.lower() in SCORES), None)
    return named or (measurements[-1] if label is None else None)


def guess_group(columns: Columns, used: Iterable[str]) -> str | None:
    """A column of documents, users or files, if some of them have several rows; None if there is none."""
    for name, column in columns.items():
        fits = name.lower() in GROUPS and name not in used and not column.missing
        if fits and 10 <= column.distinct < column.rows:
            return name
    return None
