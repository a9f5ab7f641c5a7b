"""Labels, predictions, ids and groups as text, and which of them differ in their spelling only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable
from enum import Enum
from numbers import Number
from typing import Any

from slimgate.errors import MeasureError

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)")
_WHOLE_FLOAT = re.compile(r"-?[0-9]+\.0")


def convert_to_names(column: str, values: Any) -> list[str]:
    """Values as text. Raises MeasureError for a value that is missing, or that is no name or number.

    Other objects are refused because the text of equal ones may differ: str of a tensor of 0 is "tensor(0)".
    """
    if getattr(values, "ndim", 1) != 1:
        raise MeasureError(f"class_outcomes: {column} has {values.ndim} dimensions, expected one")
    items = [_convert_to_plain(value) for value in _convert_to_plain(values)]
    for row, value in enumerate(items):
        if _is_missing(value) or not _is_name(column, value):
            raise MeasureError(f"class_outcomes: {column} {row} is {value!r}, expected a name or a number")
        if isinstance(value, str) and value.endswith("\0"):
            raise MeasureError(f"class_outcomes: {column} {row} is {value!r}, expected no NUL at the end")
    # Whole floats become integers: libraries turn labels into floats if some may be missing.
    integers = (int(value) if isinstance(value, float) and value.is_integer() else value for value in items)
    return [str(value) for value in integers]


def _convert_to_plain(value: Any) -> Any:
    """An array, a tensor, a series, a member of an enum or a scalar of a library as a Python value."""
    if isinstance(value, Enum):
        return value.value
    for method in ("tolist", "to_pylist", "as_py"):
        if hasattr(value, method):
            return getattr(value, method)()
    return value


def _is_name(column: str, value: object) -> bool:
    """Whether the value is a name or a number; an id or a group may also be an object, such as a date."""
    is_object = isinstance(value, Hashable) and not isinstance(value, tuple | bytes)
    return isinstance(value, str | Number) or (column in ("id", "group") and is_object)


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA, whose comparisons are neither true nor false."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def normalize_spelling(text: str) -> str:
    """The text by `_fold_case`; numbers by their value, true and false as 1 and 0."""
    folded = _fold_case(text)
    folded = {"true": "1", "false": "0"}.get(folded, folded)
    return f"{float(folded):.17g}" if _NUMBER.fullmatch(folded) else folded


def normalize_group(name: str) -> str:
    """The name of a group by `_fold_case`, and a whole number without the ".0" of pandas.

    Two groups of one document would count as independent. So names that may be of one group are of one, which
    never makes an interval too narrow.
    """
    folded = _fold_case(name)
    return folded.removesuffix(".0") if _WHOLE_FLOAT.fullmatch(folded) else folded


def _fold_case(text: str) -> str:
    """The text in NFC, lower case and single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def group_by_spelling(names: Iterable[str]) -> list[list[str]]:
    """The different names that differ only in their spelling, in groups of at least two."""
    by_spelling: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_spelling.setdefault(normalize_spelling(name), []).append(name)
    return [spellings for spellings in by_spelling.values() if len(spellings) > 1]


def find_two_spellings(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ only in their spelling; None if there are none."""
    groups = group_by_spelling(names)
    return (groups[0][0], groups[0][1]) if groups else None
