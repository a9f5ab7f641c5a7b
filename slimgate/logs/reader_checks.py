"""Checks what a reader returns, so that a mistake in a reader is one line and no traceback.

The rows are checked while they are read (`columns`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, get_args

from slimgate.errors import DataError
from slimgate.judge.named_scores import is_range
from slimgate.plugins.reader import CorpusKind, Log, Run, TaskLog

_LONGEST_VALUE = 80
Check = tuple[Callable[[Any], bool], str]


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(text, str) for text in value)


def _is_by_text(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_by_filter_and_metric(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, tuple) and len(key) == 2 and _is_list_of_texts(key) for key in value
    )


def _is_corpus(value: object) -> bool:
    return isinstance(value, Mapping) and set(value.values()) <= set(get_args(CorpusKind))


_TEXT: Check = (lambda value: isinstance(value, str), "a text")
_TEXT_OR_NONE: Check = (_is_text_or_none, "a text or None")
_TEXTS: Check = (_is_list_of_texts, "a tuple of texts")
_BY_TEXT: Check = (_is_by_text, "a mapping whose keys are texts")
_OF_LOG: Mapping[str, Check] = {"tool": _TEXT, "shown": _TEXT}
_OF_RUN: Mapping[str, Check] = {"tasks": _BY_TEXT, "model": _TEXT_OR_NONE, "notes": _TEXTS}
_OF_TASK: Mapping[str, Check] = {
    **dict.fromkeys(("higher_is_better", "known_directions", "settings", "ranges"), _BY_TEXT),
    "means": (_is_by_filter_and_metric, "a mapping whose keys are (filter, metric)"),
    "corpus": (_is_corpus, f"a mapping from metrics to {' or '.join(get_args(CorpusKind))}"),
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
        if not isinstance(value, Real | None):
            raise DataError(f"{where}: {words} is {value!r}, expected a number")
