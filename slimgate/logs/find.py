"""Reads a log with the reader that recognizes it. `table` is asked last, because it accepts any table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import get_args

from slimgate._system.error_places import format_user_error
from slimgate._system.json_text import NOT_JSON, describe_json_error
from slimgate.data.row_files import RowFile, read_column_names, require_file_or_folder
from slimgate.data.text_files import refuse_utf_16
from slimgate.errors import DataError, SlimgateError
from slimgate.judge.named_scores import is_range
from slimgate.logs.predictions.files import FORMATS
from slimgate.plugins.loading import list_installed_plugins, list_known_plugins, list_modules, load
from slimgate.plugins.reader import CorpusKind, Log, Reader, Run, TaskLog, is_read_error

_LONGEST_VALUE = 80
Check = tuple[Callable[[object], bool], str]


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(text, str) for text in value)


def _is_by_filter_and_metric(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, tuple) and len(key) == 2 and _is_list_of_texts(key) for key in value
    )


_TEXT: Check = (lambda value: isinstance(value, str), "a text")
_TEXT_OR_NONE: Check = (lambda value: isinstance(value, str | None), "a text or None")
_TEXTS: Check = (_is_list_of_texts, "a tuple of texts")
_BY_TEXT: Check = (
    lambda value: isinstance(value, Mapping) and all(isinstance(key, str) for key in value),
    "a mapping whose keys are texts",
)
_OF_LOG: Mapping[str, Check] = {"tool": _TEXT, "shown": _TEXT}
_OF_RUN: Mapping[str, Check] = {"tasks": _BY_TEXT, "model": _TEXT_OR_NONE, "notes": _TEXTS}
_OF_TASK: Mapping[str, Check] = {
    **dict.fromkeys(("higher_is_better", "known_directions", "settings", "ranges"), _BY_TEXT),
    "means": (_is_by_filter_and_metric, "a mapping whose keys are (filter, metric)"),
    "corpus": (
        lambda value: isinstance(value, Mapping) and set(value.values()) <= set(get_args(CorpusKind)),
        f"a mapping from metrics to {' or '.join(get_args(CorpusKind))}",
    ),
    "ids": _TEXTS,
    "filters": _TEXTS,
}


def check_log(path: Path, log: Log) -> None:
    """Raises DataError if it is no log, has no task, or has a value of a wrong type. path: for messages."""
    if not isinstance(log, Log):
        raise DataError(f"{path}: its reader returned {type(log).__name__}, expected a slimgate.Log")
    if not (log.tasks or log.loads or log.runs or log.models or log.kl):
        raise DataError(f"{path}: the log has no task")
    parts: tuple[Log | Run, ...] = (log, *log.runs, *log.models, *log.further)
    for part in parts:
        if isinstance(part, Log):
            _check_types(str(path), part, _OF_LOG)
        _check_types(str(path), part, _OF_RUN)
        for name, task in part.tasks.items():
            where = f"{path} {name}".strip()
            if not isinstance(task, TaskLog):
                raise DataError(f"{where}: the task is {task!r}, expected a slimgate.TaskLog")
            _check_types(where, task, _OF_TASK)
            _check_declared(where, task)


def _check_types(where: str, holder: object, checks: Mapping[str, Check]) -> None:
    for name, (is_right, words) in checks.items():
        value = getattr(holder, name)
        if not is_right(value):
            shown = repr(value)[:_LONGEST_VALUE]
            raise DataError(f"{where}: its reader set {name} to {shown}, expected {words}")


def _check_declared(where: str, task: TaskLog) -> None:
    """Raises DataError for what is stated in a wrong type: as a direction, the text "no" counts as True."""
    for metric, better in {**task.known_directions, **task.higher_is_better}.items():
        if not isinstance(better, bool):
            raise DataError(f"{where}: higher_is_better of {metric} is {better!r}, expected True or False")
    for metric, ends in task.ranges.items():
        if not is_range(ends):
            raise DataError(
                f"{where}: the range of {metric} is {ends!r}, expected its lowest and its highest score, "
                "such as (0.0, 1.0)"
            )
    means = {f"the mean of {metric}": mean for (_, metric), mean in task.means.items()}
    stated = {
        "the number of samples": task.samples,
        "the most tokens of an answer": task.most_tokens,
        **means,
    }
    for words, value in stated.items():
        is_too_large = isinstance(value, int) and abs(value) > sys.float_info.max
        if not isinstance(value, Real | None) or is_too_large:
            raise DataError(f"{where}: {words} is {repr(value)[:_LONGEST_VALUE]}, expected a number")


_LAST = "table"


def read_log(path: Path, reader_name: str | None = None) -> Log:
    """Reads the log of answers in a file or folder.

    reader_name: the reader to take; None to find it. Raises SuiteError if there is no such reader, DataError
    if no reader recognizes the log, or if it is a load test or a KL log.
    """
    log = read_any_log(path, reader_name)
    if log.loads:
        raise DataError(
            f"{path}: it is a load test of {log.tool}, expected a log of answers; two load tests are judged "
            "by `slimgate judge BASE TARGET`"
        )
    if log.kl is not None:
        raise DataError(
            f"{path}: it is a KL log, which contains base and target; judge it alone with `slimgate judge "
            f"{path} --budgets FILE.toml`, in a test with assert_budgets(None, FILE, budgets)"
        )
    return log


def read_kl_log(path: Path, reader_name: str | None) -> Log:
    """Reads a KL log. reader_name: as in `read_log`. Raises DataError for another file."""
    log = read_any_log(path, reader_name)
    if log.kl is None:
        raise DataError(
            f"{path}: it is a log of {log.tool}, expected a KL log, which contains base and target"
        )
    return log


def read_any_log(path: Path, reader_name: str | None = None) -> Log:
    """Reads a log of answers, a load test or a KL log; see `read_log`. Raises DataError."""
    require_file_or_folder(path)
    if not path.is_dir():
        refuse_utf_16(path)
    reader: Reader = find_reader(path) if reader_name is None else load("log", reader_name)
    if reader_name in list_modules("log") and not reader.recognizes(path):
        _refuse_other_format(path, reader_name)
    try:
        log = reader.read(path)
    except Exception as error:  # a user's reader may raise anything
        if not is_read_error(error):
            raise
        problem = format_user_error(error)
        raise DataError(f"{path} does not have the log format of its tool: {problem}") from error
    check_log(path, log)
    return _add_path(log, path)


def _add_path(log: Log, path: Path) -> Log:
    """The log, and its parts, with the path."""
    models = tuple(_add_path(model, path) for model in log.models)
    prompts = {name: _add_path(part, path) for name, part in log.prompts.items()}
    return replace(log, path=path, models=models, prompts=prompts)


def _refuse_other_format(path: Path, name: str | None) -> None:
    """Raises DataError if another reader of slimgate recognizes what the reader `name` does not."""
    for other in sorted(list_modules("log"), key=lambda other: other == _LAST):
        if other != name and load("log", other).recognizes(path):
            noun = "a table of scores" if other == _LAST else f"a log of {other}"
            raise DataError(f"{path}: the format {name} was given, but this is {noun}; leave the format out")


def find_kl_log(path: Path, reader_name: str | None) -> Log | None:
    """The KL log in a file; None if the file is anything else."""
    if reader_name is None and not any(
        name for name in list_known_plugins("log") if name != _LAST and load("log", name).recognizes(path)
    ):
        return None
    log = read_any_log(path, reader_name)
    return None if log.kl is None else log


def find_reader(path: Path) -> Reader:
    """The reader that recognizes a log. Raises DataError if none does, or more than one."""
    names = sorted(list_known_plugins("log"), key=lambda name: name == _LAST)
    readers: dict[str, Reader] = {name: load("log", name) for name in names}
    matching = [name for name, reader in readers.items() if name != _LAST and reader.recognizes(path)]
    if len(matching) > 1:
        raise DataError(f"{path} may be a log of {' or '.join(matching)}; choose one by --format NAME")
    if not matching and readers[_LAST].recognizes(path):
        matching = [_LAST]
    if not matching and path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: the folder is empty, expected a log in it")
    if not matching:
        _refuse_folder_of_logs(path, readers)
        _refuse_broken_json(path)
        noun = "folder" if path.is_dir() else "file"
        raise DataError(
            f"{path}: no reader knows this {noun}; expected a log of {', '.join(readers)}; --format NAME "
            "forces a format"
        )
    return readers[matching[0]]


def _refuse_broken_json(path: Path) -> None:
    """Raises DataError that says where a file stops being JSON, such as a log that was cut off."""
    if path.is_file() and path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except NOT_JSON as error:
            if not (isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"):  # JSON lines
                problem = describe_json_error(error)
                raise DataError(f"{path}: not JSON: {problem}; check that the file is complete") from error


def _refuse_folder_of_logs(path: Path, readers: Mapping[str, Reader]) -> None:
    """Raises DataError if a part of the folder is a log by itself, such as a file of promptfoo."""
    if not path.is_dir():
        return
    for part in sorted(path.iterdir()):
        names = [name for name, reader in readers.items() if reader.recognizes(part)]
        if names:
            noun = "folder" if part.is_dir() else "file"
            log = "a table" if names[0] == _LAST else f"a log of {names[0]}"
            raise DataError(
                f"{path}: a folder was given, but {log} is one {noun} in it; name the {noun}, such as "
                f"{part.as_posix()}"
            )


def has_predictions(path: Path, *, stated: bool = False) -> bool:
    """Whether a file holds predictions (label, and prediction or probabilities) rather than a log.

    It asks the readers of installed packages first, then those of slimgate. A broken or missing file counts
    as predictions, so that the error is that of prediction files.
    stated: whether the user named the columns of predictions. Raises DataError for a table that may be both,
    because its labels and its scores may disagree.
    """
    if path.is_dir():
        return False
    if not path.is_file():
        return True
    table_format = FORMATS.get(path.suffix.lower())
    names = list_known_plugins("log") if table_format is None else list_installed_plugins("log")
    if any(name != _LAST and load("log", name).recognizes(path) for name in names):
        return False
    if table_format is None:
        return path.suffix.lower() not in (".json", ".eval")
    if stated:
        return True
    try:
        columns = set(read_column_names(RowFile(path, table_format)))
    except (SlimgateError, OSError, ValueError):
        return True
    if {"label", "prediction"} <= columns:
        if "score" in columns:
            raise DataError(
                f"{path}: it may be predictions (columns label and prediction) or a log of scores (column "
                "score); choose with --prediction prediction or --format table, or in a suite with [logs] "
                'kind = "predictions" or "answers"'
            )
        return True
    if "score" in columns:
        return False
    return not any(name != _LAST and load("log", name).recognizes(path) for name in list_known_plugins("log"))
