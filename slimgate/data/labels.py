"""Reads the labels of rows, and matches them with the labels of ready-made models.

A row with any number of labels has a list, a joined string, or a column of 0 and 1 for each label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from slimgate._system.names import find_two_spellings
from slimgate._system.toml import format_value
from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.rows import Rows

GENERIC = re.compile(r"^LABEL_(\d+)$")
NUMBER = re.compile(r"^[-+]?\d+(\.\d+)?$")
YES = frozenset({"1", "1.0", "true", "True"})
NO = frozenset({"0", "0.0", "false", "False"})


def list_class_names(values: Iterable[object]) -> tuple[str, ...]:
    """The distinct labels as text; numbers in numeric order, text in alphabetical order."""
    distinct = sorted({str(value) for value in values if value is not None})
    numeric = all(NUMBER.match(name) for name in distinct)  # numbers of a csv are text: "10" comes after "9"
    return tuple(sorted(distinct, key=float) if numeric else distinct)


def read_classes(splits: Mapping[str, Rows], column: str) -> tuple[str, ...]:
    """The distinct labels of all splits, in the order of `list_class_names`."""
    values = {value for rows in splits.values() for value in rows.table[column].unique().to_pylist()}
    return list_class_names(values)


def index_labels(rows: Rows, column: str, classes: Sequence[str]) -> Ints:
    """(rows,) the index of each row's label in `classes`, which must have it."""
    index_of = {name: index for index, name in enumerate(classes)}
    values = rows.table[column].to_pylist()
    return np.asarray([index_of[str(value)] for value in values], dtype=np.int64)


def refuse_other_spellings(classes: Iterable[str], column: str) -> None:
    """Raises DataError if two labels differ only in case, spaces or the writing of a number.

    A model that learnt one of them is wrong in the rows with the other, and so are all of its variants. What
    a variant loses in these rows would not be seen.
    """
    if pair := find_two_spellings(classes):
        first, second = map(format_value, pair)
        raise DataError(
            f'column "{column}" has the labels {first} and {second}, which differ only in case, spaces or '
            "the writing of a number; write them the same way in all rows (if they are two classes, rename "
            "one)"
        )


def check_positive(positive: str | None, classes: Sequence[str]) -> None:
    """Raises DataError for a positive label that is not a label, or if there are more than two labels."""
    if positive is None:
        return
    if positive not in classes:
        raise DataError(f'positive = "{positive}": no such label{format_suggestion(positive, classes)}')
    if len(classes) != 2:
        raise DataError(
            f'positive = "{positive}": the rows have {len(classes)} labels, but only one of two labels '
            "can be positive; use the _macro, _micro or _weighted metrics"
        )


def find_output_order(
    model_labels: Sequence[str], classes: Sequence[str], stated: Sequence[str] | None, where: str
) -> list[int]:
    """The model's output for each class of the data.

    model_labels: the model's label of each output; stated: the data's class of each output, if the suite
    states it. Raises SuiteError, with both label maps, if they do not fit.
    """
    names = list(stated) if stated is not None else list(model_labels)
    if stated is None and all(GENERIC.match(name) for name in names):
        names = [str(GENERIC.match(name)[1]) for name in names]  # type: ignore[index]
    if sorted(names) != sorted(classes) or len(names) != len(model_labels):
        raise SuiteError(
            f"{where}: the model's labels do not fit the data's labels. "
            f"Model: {format_label_map(model_labels)}; data: {format_label_map(classes)}. If both name the "
            "same classes, give [task] labels = [the data's label of each output, in the model's order]"
        )
    return [names.index(name) for name in classes]


def format_label_map(labels: Sequence[str]) -> str:
    """`0=neg, 1=pos`: the label of each output, the first eight of them."""
    shown = [f"{i}={name}" for i, name in enumerate(labels[:8])]
    return ", ".join(shown) + (f", … ({len(labels)} in all)" if len(labels) > 8 else "")


def parse_label_sets(
    rows: Rows, label: str | Sequence[str], *, separator: str, names: Sequence[str] | None
) -> list[frozenset[str]]:
    """The labels of each row.

    label: the column of lists or joined strings, or the columns of 0 and 1. separator: the text between
    joined labels. names: the labels that the numbers 0, 1, … mean, if labels are numbers. Raises DataError
    with the first row that cannot be read.
    """
    if isinstance(label, str):
        values = rows.table[label].to_pylist()
        return [
            _name_labels(_split_labels(value, separator, f"{label}, row {row}"), names, f"{label}, row {row}")
            for row, value in zip(rows.ids, values, strict=True)
        ]
    columns = [_read_indicators(rows, name) for name in label]
    return [
        frozenset(name for name, yes in zip(label, row, strict=True) if yes)
        for row in zip(*columns, strict=True)
    ]


def make_indicators(sets: Sequence[Iterable[str]], classes: Sequence[str]) -> Floats:
    """(rows, classes) 1.0 if the row has the label, else 0.0. Every label must be one of `classes`."""
    index_of = {name: k for k, name in enumerate(classes)}
    marks = np.zeros((len(sets), len(classes)))
    for line, labels in zip(marks, sets, strict=True):
        line[[index_of[name] for name in labels]] = 1.0
    return marks


def _split_labels(value: object, separator: str, where: str) -> list[str | int]:
    """The labels of a row; whole numbers stay numbers."""
    if value is None:
        raise DataError(
            f"column {where}: null, expected labels; for a row without labels, give an empty list or text"
        )
    if isinstance(value, str):
        return [part.strip() for part in value.split(separator) if part.strip()]
    if not isinstance(value, list) or None in value:
        raise DataError(
            f"column {where}: {value!r}, expected a list of labels, or names joined by {separator!r}"
        )
    return [part if type(part) is int else str(part) for part in value]


def _name_labels(parts: Sequence[str | int], names: Sequence[str] | None, where: str) -> frozenset[str]:
    if names is None:
        return frozenset(map(str, parts))
    return frozenset(_name_label(part, names, where) for part in parts)


def _name_label(label: str | int, names: Sequence[str], where: str) -> str:
    """The name of a number, or a name as it is. Raises DataError for a text that is neither, or both."""
    number = int(label) if isinstance(label, int) or label.isdecimal() else -1
    by_number = names[number] if 0 <= number < len(names) else None
    if by_number is None and label not in names:
        raise DataError(
            f"column {where}: label {label}, but [task] names has only {len(names)} entries, counted from 0"
        )
    if isinstance(label, str) and label in names and by_number not in (None, label):
        raise DataError(
            f'column {where}: label {label} is a name in [task] names and also the number of "{by_number}"; '
            "leave names out if the labels are names"
        )
    return str(label) if by_number is None else by_number


def _read_indicators(rows: Rows, name: str) -> list[bool]:
    texts = [str(value) for value in rows.table[name].to_pylist()]
    for row, text in zip(rows.ids, texts, strict=True):
        if text not in YES | NO:
            raise DataError(f"column {name}, row {row}: {text!r}, expected 0 or 1")
    return [text in YES for text in texts]
