"""Guesses the task of rows: each task looks at the columns, after the user's own statements.

guess(table, UserColumns(label="intent"), causal=False) -> Guess("text_classification", {"text": …}, …)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from slimgate.cli.init.columns import ExaminedTable, guess_group
from slimgate.data.guess_input import UserColumns
from slimgate.errors import DataError, format_suggestion
from slimgate.plugins.loading import list_known_plugins, load, suggest_task
from slimgate.plugins.task import Task


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


def _make_guess_error(examined: ExaminedTable) -> DataError:
    examined.texts()  # raises if there is no text
    task, columns = examined.stated.task or "task", ", ".join(examined.columns)
    return DataError(
        f"no column looks like the label of a {task}: the columns are {columns}. Name the label column "
        "with --label (for numbers that are scores, add --task text_regression), or give one file for each "
        "label with --by-label NAME=FILE (text alone is for a causal language model)"
    )
