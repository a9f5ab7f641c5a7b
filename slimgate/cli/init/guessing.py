"""Which task rows are for: what the tasks say themselves of the columns, after what was said.

guess(table, Said(label="intent"), causal=False) -> Guess("text_classification", {"text": …}, …)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from slimgate.cli.init.guess import Guess
from slimgate.cli.init.look import Look, group_among
from slimgate.data.guess_input import Said
from slimgate.errors import DataError, format_suggestion
from slimgate.loading import known_plugins, load, suggest_task
from slimgate.protocols import Task


def guess(table: pa.Table, said: Said, *, causal: bool, encoder_decoder: bool = False) -> Guess:
    """The task. causal: the model is a language model; encoder_decoder: it is one such as T5.

    Raises DataError where nothing fits.
    """
    look = Look(table, said, causal, encoder_decoder)
    for name in (*said.text, *filter(None, (said.label, said.group))):
        if name not in look.columns:
            raise DataError(f'the rows have no column "{name}"{format_suggestion(name, look.columns)}')
    if said.label is not None and said.label in said.text:
        raise DataError(f'column "{said.label}" is named by --text and by --label, expected two columns')
    found = _guess_asked(look, said.task) if said.task else _first(look, _tasks())
    if found is None:
        raise _nothing_fits(look)
    if said.group in found.columns:
        raise DataError(f"--group {said.group}: the task reads that column, expected another")
    group = said.group or group_among(look.columns, found.columns)
    used = {*found.columns, group}
    left = tuple(name for name in look.columns if name not in used)
    return replace(found, group=group, left=left)


def _tasks() -> dict[str, Task[Any]]:
    """The tasks that guess, in the order in which they are asked."""
    found: dict[str, Task[Any]] = {name: load("task", name) for name in known_plugins("task")}
    guessing = {name: task for name, task in found.items() if type(task).guess is not Task.guess}
    return dict(sorted(guessing.items(), key=lambda item: item[1].guess_rank))


def _guess_asked(look: Look, name: str) -> Guess | None:
    """The guess of the task that was asked for. Raises DataError where the rows look like another's."""
    tasks = _tasks()
    if ":" in name:
        tasks[name] = load("task", name)
    if name not in tasks:
        raise DataError(f'--task "{name}": init knows no such task{suggest_task(name)}')
    if found := _guess_task(look, name, tasks[name]):
        return found
    label = look.said.label
    other = _first(replace(look, said=replace(look.said, task=None)), tasks) if label else None
    if other is not None:
        raise DataError(
            f"--task {name}: the columns look like {other.kind} ({other.why}); say which is which by "
            f"--text and --label; there are {', '.join(look.columns)}"
        )
    return None


def _first(look: Look, tasks: dict[str, Task[Any]]) -> Guess | None:
    return next((found for name, task in tasks.items() if (found := _guess_task(look, name, task))), None)


def _guess_task(look: Look, name: str, task: Task[Any]) -> Guess | None:
    if (made := task.guess(look)) is None:
        return None
    params = params_of(name, task, made[0])
    return Guess(name, made[0], made[1], task.text_columns(params), frozenset(task.columns(params)))


def params_of(name: str, task: Task[Any], options: Mapping[str, Any]) -> Any:
    """The task's Params. Raises DataError where the columns do not fit them."""
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    try:
        return task.Params.model_validate(given)
    except ValidationError as error:
        told = "; ".join(f"{one['loc'][0] if one['loc'] else ''}: {one['msg']}" for one in error.errors())
        raise DataError(f"a task {name} cannot be of these columns: {told}") from None


def _nothing_fits(look: Look) -> DataError:
    look.texts()  # raises where there is not even text
    task, columns = look.said.task or "task", ", ".join(look.columns)
    return DataError(
        f"no column looks like the label of a {task}: there are {columns}; "
        "name it by --label, or give a file for each label by --by-label NAME=FILE (text alone is for a "
        "causal language model)"
    )
