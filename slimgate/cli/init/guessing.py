"""Guesses the role of each column of a table, and the task, after the user's own statements."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from slimgate.data.guess_input import LABELS, PAIRS, Column, Kind, UserColumns
from slimgate.errors import DataError, format_suggestion
from slimgate.plugins.loading import list_known_plugins, load, suggest_task
from slimgate.plugins.task import Task

SCORES = ("score", "similarity", "rating", "similarity_score", "relatedness", "stars", "target", "label")
GROUPS = ("group", "file", "document", "doc", "doc_id", "document_id", "user", "user_id", "author", "session")
TEXTS = ("text", "sentence", "content", "body", "review", "question", "comment", "message", "document")

Columns = Mapping[str, Column]

_RETRIEVAL = "sentence_embedding"
# Names of columns by which tables of a retrieval benchmark are joined.
_QUERY_IDS = frozenset({"query_id", "queryid", "qid", "corpus_id"})
_DOCUMENT_IDS = frozenset({"doc_id", "docid", "document_id", "passage_id", "_id"})


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
        nested = [name for name, column in columns.items() if column.kind == "other"]
        advice = (
            f"{nested[0]} has objects or bytes: write each field of an object as a column"
            if nested
            else "name the text column with --text"
        )
        raise DataError(f"no column contains text; the columns are {', '.join(columns)}; {advice}")
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


@dataclass(frozen=True)
class Guess:
    """The task that the rows seem to be for, and the columns that it reads.

    options: options of [task] that name columns; why: one line for the reader; left: unused columns.

    texts: the columns that are read as text; columns: every column that the task reads.
    """

    kind: str
    options: Mapping[str, Any]
    why: str
    texts: tuple[str, ...]
    columns: frozenset[str]
    group: str | None = None
    left: tuple[str, ...] = ()


def guess(table: pa.Table, stated: UserColumns, *, causal: bool, encoder_decoder: bool = False) -> Guess:
    """The task. causal: the model is a language model; encoder_decoder: it is a model such as T5.

    Raises DataError if no task fits.
    """
    examined = ExaminedTable(table, stated, causal, encoder_decoder)
    for name in (*stated.text, *filter(None, (stated.label, stated.group))):
        if name not in examined.columns:
            raise DataError(f'the rows have no column "{name}"{format_suggestion(name, examined.columns)}')
    if stated.label is not None and stated.label in stated.text:
        raise DataError(f'column "{stated.label}" is named by --text and by --label, expected two columns')
    guess_made = (
        _guess_named_task(examined, stated.task)
        if stated.task
        else _guess_first_task(examined, _list_guessing_tasks())
    )
    _refuse_retrieval_table(examined, guess_made)
    if guess_made is None:
        raise _make_guess_error(examined)
    if stated.group in guess_made.columns:
        raise DataError(f"--group {stated.group}: the task already reads this column; name another column")
    group = stated.group or guess_group(examined.columns, guess_made.columns)
    used = {*guess_made.columns, group}
    left = tuple(name for name in examined.columns if name not in used)
    return replace(guess_made, group=group, left=left)


def _list_guessing_tasks() -> dict[str, Task[Any]]:
    """The tasks that can guess, in the order in which they are tried."""
    tasks: dict[str, Task[Any]] = {name: load("task", name) for name in list_known_plugins("task")}
    guessing = {name: task for name, task in tasks.items() if type(task).guess is not Task.guess}
    return dict(sorted(guessing.items(), key=lambda item: item[1].guess_rank))


def _guess_named_task(examined: ExaminedTable, name: str) -> Guess | None:
    """The guess of the task that the user named. Raises DataError if the rows look like another's."""
    tasks = _list_guessing_tasks()
    if ":" in name:
        tasks[name] = load("task", name)
    if name not in tasks:
        raise DataError(f'--task "{name}": init knows no such task{suggest_task(name)}')
    if guess_made := _guess_task(examined, name, tasks[name]):
        return guess_made
    label = examined.stated.label
    other = (
        _guess_first_task(replace(examined, stated=replace(examined.stated, task=None)), tasks)
        if label
        else None
    )
    if other is not None:
        raise DataError(
            f"--task {name}: the columns look like {other.kind} ({other.why}); name the columns with "
            f"--text and --label; the columns are {', '.join(examined.columns)}"
        )
    return None


def _guess_first_task(examined: ExaminedTable, tasks: dict[str, Task[Any]]) -> Guess | None:
    return next(
        (guess_made for name, task in tasks.items() if (guess_made := _guess_task(examined, name, task))),
        None,
    )


def _guess_task(examined: ExaminedTable, name: str, task: Task[Any]) -> Guess | None:
    if (guessed := task.guess(examined)) is None:
        return None
    params = make_task_params(name, task, guessed[0])
    return Guess(name, guessed[0], guessed[1], task.text_columns(params), frozenset(task.columns(params)))


def make_task_params(name: str, task: Task[Any], options: Mapping[str, object]) -> Any:
    """The task's Params. Raises DataError if the columns do not fit them."""
    as_tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    try:
        return task.Params.model_validate(as_tuples)
    except ValidationError as error:
        problems = "; ".join(
            f"{problem['loc'][0] if problem['loc'] else ''}: {problem['msg']}" for problem in error.errors()
        )
        raise DataError(f"a task {name} cannot use these columns: {problems}") from None


def _refuse_retrieval_table(examined: ExaminedTable, guess_made: Guess | None) -> None:
    """Raises DataError for a table of queries, of documents or of their relevance, which has ids to join by.

    The ids of documents may also be groups, so they count only if no task fits.
    """
    if examined.stated.task or examined.stated.label or (guess_made and guess_made.kind == _RETRIEVAL):
        return
    ids = _QUERY_IDS if guess_made else _QUERY_IDS | _DOCUMENT_IDS
    column = next((name for name in examined.columns if name.lower().replace("-", "_") in ids), None)
    if column is not None:
        raise DataError(
            f'column "{column}": this looks like a table of queries, of documents or of their relevance '
            "(qrels); join the tables into one with a row for each query, the text of the query and the text "
            "of its document, and give that as --data. If it is something else, name the label column with "
            "--label, or the task with --task"
        )


def _make_guess_error(examined: ExaminedTable) -> DataError:
    examined.texts()  # raises if there is no text
    task, columns = examined.stated.task or "task", ", ".join(examined.columns)
    return DataError(
        f"no column looks like the label of a {task}: the columns are {columns}. Name the label column "
        "with --label (for numbers that are scores, add --task text_regression), or give one file for each "
        "label with --by-label NAME=FILE (text alone is for a causal language model)"
    )
