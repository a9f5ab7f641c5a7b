"""The labels of rows that have any number of them: lists, joined strings, or a column of 0 and 1 each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import DataError
from slimgate.protocols import Rows

YES = frozenset({"1", "1.0", "true", "True"})
NO = frozenset({"0", "0.0", "false", "False"})


def label_sets(
    rows: Rows, label: str | Sequence[str], *, separator: str, names: Sequence[str] | None
) -> list[frozenset[str]]:
    """The labels of each row.

    label: the column of lists or joined strings, or the columns of 0 and 1. names: what numbers stand for.
    Raises DataError with the first row that cannot be read.
    """
    if isinstance(label, str):
        values = rows.table[label].to_pylist()
        return [
            _named(_parts(value, separator, f"{label}, row {row}"), names, f"{label}, row {row}")
            for row, value in zip(rows.ids, values, strict=True)
        ]
    told = [_column(rows, name) for name in label]
    return [
        frozenset(name for name, yes in zip(label, row, strict=True) if yes)
        for row in zip(*told, strict=True)
    ]


def indicators(sets: Sequence[Iterable[str]], classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """(rows, classes) 1 where the row has the label, else 0."""
    place = {name: k for k, name in enumerate(classes)}
    found = np.zeros((len(sets), len(classes)))
    for line, labels in zip(found, sets, strict=True):
        line[[place[name] for name in labels]] = 1.0
    return found


def _parts(value: Any, separator: str, where: str) -> list[str]:
    if value is None:
        raise DataError(f"column {where}: null, expected labels; a row without any has an empty list or text")
    if isinstance(value, str):
        return [part.strip() for part in value.split(separator) if part.strip()]
    if not isinstance(value, list) or None in value:
        raise DataError(
            f"column {where}: {value!r}, expected a list of labels, or names joined by {separator!r}"
        )
    return [str(part) for part in value]


def _named(parts: Sequence[str], names: Sequence[str] | None, where: str) -> frozenset[str]:
    if names is None:
        return frozenset(parts)
    for part in parts:
        if not (part.isdecimal() and int(part) < len(names)) and part not in names:
            raise DataError(f"column {where}: label {part}, but [task] names holds {len(names)} from 0 on")
    return frozenset(names[int(part)] if part.isdecimal() else part for part in parts)


def _column(rows: Rows, name: str) -> list[bool]:
    texts = [str(value) for value in rows.table[name].to_pylist()]
    for row, text in zip(rows.ids, texts, strict=True):
        if text not in YES | NO:
            raise DataError(f"column {name}, row {row}: {text!r}, expected 0 or 1")
    return [text in YES for text in texts]
