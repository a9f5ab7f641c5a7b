"""Finds the gate rows of each slice: rows that share a value of a column, or texts of similar length.

    [task]
    slices = ["length_bucket", "language"]

`length_bucket` is made here, unless the rows have a column of that name: quartiles of the number of words
(separated by white space) in a row's text columns together, which must be text or lists of words. Labels are
always slices and need not be named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from slimgate._system.toml import format_toml_key
from slimgate.data.parts import collapse_text, convert_to_strings, is_image
from slimgate.errors import DataError, format_suggestion
from slimgate.judge.budget_tables import LABEL
from slimgate.judge.slices import Slice
from slimgate.outcomes import Ints
from slimgate.plugins.rows import Rows
from slimgate.suite.suite import Suite, TaskSetup
from slimgate.suite.tables import LENGTH_BUCKET

MOST_VALUES = 200
MISSING = "(missing)"
EMPTY = "(empty)"


def list_slice_columns(setup: TaskSetup) -> tuple[str, ...]:
    """The columns to slice by, without the label's column: the outcomes give its slices."""
    task = setup.task
    sliced = "prediction" in task.object.provides()  # outcomes of classes are by label already
    label = task.object.label_column(task.params) if sliced else None
    return tuple(name for name in setup.slices if name != label)


def find_column_slices(setup: TaskSetup, rows: Rows) -> list[Slice]:
    """The slices of every column that the suite names; the slices of a column contain each row once.

    Raises DataError if a column is missing, contains lists or objects, or has more than 200 values.
    """
    slices: list[Slice] = []
    for column in list_slice_columns(setup):
        slices += _make_slices(column, _read_values(setup, rows, column))
    return slices


def find_gate_slices(setup: TaskSetup, rows: Rows) -> list[Slice]:
    """The slices of the columns, and those of the labels if the rows have them without any answer."""
    return [*find_column_slices(setup, rows), *_find_label_slices(setup, rows)]


def _find_label_slices(setup: TaskSetup, rows: Rows) -> Iterator[Slice]:
    """Like the judge's `list_label_slices`, for rows without outcomes: labels have the names of classes."""
    task = setup.task
    label = task.object.label_column(task.params)
    if "prediction" in task.object.provides() and label is not None and label in rows.table.column_names:
        yield from _make_slices(LABEL, list(map(str, rows.table[label].to_pylist())))


def check_budget_slices(suite: Suite, rows: Rows) -> None:
    """Raises DataError if a budget names a slice without gate rows, or if there are no slices at all.

    Slices of labels are not checked if the rows alone do not have them.
    """
    if any(budgets.behaviour.slices for budgets in suite.budgets.values()) and not suite.setup.slices:
        task = suite.setup.task
        if "prediction" not in task.object.provides():
            raise DataError(
                f"[budgets.slices]: task {task.name} has no labels to slice by; name columns with [task] "
                'slices, such as slices = ["length_bucket"]'
            )
    named_slices = dict.fromkeys(
        named for budgets in suite.budgets.values() for named in budgets.behaviour.named_slices
    )
    values_by_column: dict[str, list[str]] = {}
    for gate_slice in find_gate_slices(suite.setup, rows) if named_slices else ():
        values_by_column.setdefault(gate_slice.column, []).append(gate_slice.value)
    for named in named_slices:
        known = values_by_column.get(named.column)
        if known is not None and named.value not in known:
            raise DataError(
                f"[budgets.slices.{named.column}] {format_toml_key(named.value)}: no gate row has this value"
                f"{format_suggestion(named.value, known)}"
            )


def _read_values(setup: TaskSetup, rows: Rows, name: str) -> list[str]:
    """The value of each row in a column, as slices are named: "(missing)" for null, "(empty)" for ""."""
    known = rows.table.column_names
    if name == LENGTH_BUCKET and name not in known:
        return make_length_buckets(rows, setup.task.object.text_columns(setup.task.params))
    if name not in known:
        raise DataError(
            f'slices: the rows have no column "{name}"{format_suggestion(name, [*known, LENGTH_BUCKET])}'
        )
    texts = convert_to_strings(rows.table[name], f"slices: column {name}").to_pylist()
    values = [MISSING if text is None else text or EMPTY for text in texts]
    if (count := len(set(values))) > MOST_VALUES:
        raise DataError(
            f'slices: column "{name}" has {count:,} values in the gate rows, expected at most {MOST_VALUES}; '
            "name a coarser column"
        )
    return values


def make_length_buckets(rows: Rows, text_columns: Sequence[str]) -> list[str]:
    """The bucket of each row, such as `5 to 9 words`: four of similar size, fewer if lengths repeat.

    Raises DataError for a column without words, such as one of images or of messages.
    """
    words = np.zeros(len(rows), dtype=np.int64)
    for column in text_columns:
        if is_image(kind := rows.table[column].type):
            raise DataError(
                f'slices: {LENGTH_BUCKET} counts the words of texts, but column "{column}" has type {kind}; '
                "name another column"
            )
        words += np.array(
            [len(collapse_text(text).split()) for text in rows.table[column].to_pylist()], np.int64
        )
    edges = np.unique(np.quantile(words, (0.25, 0.5, 0.75), method="lower"))
    bucket = np.searchsorted(edges, words, side="left")
    names = {int(k): _format_bucket(words[bucket == k]) for k in np.unique(bucket)}
    return [names[int(k)] for k in bucket]


def _format_bucket(words: Ints) -> str:
    low, high = int(words.min()), int(words.max())
    if low < high:
        return f"{low} to {high} words"
    return "1 word" if low == 1 else f"{low} words"


def _make_slices(column: str, values: Sequence[str]) -> list[Slice]:
    """A slice for each value. values: of each row."""
    different, codes = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
    return [Slice(column, str(value), np.flatnonzero(codes == k)) for k, value in enumerate(different)]
