"""Checks the types of what a reader returns, so that a mistake in a reader is one line and no traceback.

The rows are checked while they are read (`columns`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from slimgate.errors import DataError
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


def check_reader_types(path: Path, part: Log | Run) -> None:
    """Raises DataError for a value of a log or run whose type is wrong. path: for messages."""
    if isinstance(part, Log):
        _check(str(path), part, _OF_LOG)
    _check(str(path), part, _OF_RUN)
    for name, task in part.tasks.items():
        where = f"{path} {name}".strip()
        if not isinstance(task, TaskLog):
            raise DataError(f"{where}: the task is {task!r}, expected a slimgate.TaskLog")
        _check(where, task, _OF_TASK)


def _check(where: str, holder: object, checks: Mapping[str, Check]) -> None:
    for name, (is_right, words) in checks.items():
        value = getattr(holder, name)
        if not is_right(value):
            shown = repr(value)[:_LONGEST_VALUE]
            raise DataError(f"{where}: its reader set {name} to {shown}, expected {words}")
