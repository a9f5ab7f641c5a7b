"""Prediction files of one JSON object a line, read in blocks of lines so that a long file fits in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from slimgate._system.json_text import HALF_PAIR, NOT_JSON, JsonObject, describe_json_error, parse_json
from slimgate.data.row_files import RowFile, read_column_names
from slimgate.errors import DataError
from slimgate.logs.predictions.codes import digest_texts
from slimgate.logs.predictions.columns import ColumnNames, FileColumns, Layout, find_columns

if TYPE_CHECKING:
    from slimgate.outcomes import Ints

BLOCK = 50_000
Line = tuple[int, JsonObject]


def read_jsonl(file: RowFile, names: ColumnNames) -> FileColumns:
    """The keys of all objects as columns.

    A key that an object lacks is null; a class that a mapping of probabilities lacks is 0. Raises DataError
    that names the line.
    """
    path, columns = file.path, list(read_column_names(file))
    lines = _read_objects(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path} has no rows, expected one JSON object per line")
    layout = find_columns(str(path), columns, names)
    texts: dict[str, list[pa.Array]] = {role: [] for role in layout.roles}
    numbers: dict[str, list[pa.Array]] = {}
    digests: list[Ints] = []
    lines, rows = itertools.chain([first], lines), 0
    while block := list(itertools.islice(lines, BLOCK)):
        for role, column in layout.roles.items():
            texts[role].append(
                pa.array([_read_text(path, line, row.get(column)) for line, row in block], pa.large_string())
            )
        if layout.texts:
            digests.append(digest_texts(*([row.get(name) for _, row in block] for name in layout.texts)))
        probabilities = _read_probabilities(path, layout, block, first[1])
        for name in probabilities.keys() - numbers.keys():
            numbers[name] = [pa.array(np.zeros(rows))] if rows else []
        for name, blocks in numbers.items():
            values = probabilities.get(name)
            blocks.append(pa.array(np.zeros(len(block))) if values is None else values)
        rows += len(block)
    by_class = {name: numbers[name] for name in _sort_classes(numbers, layout)}
    return FileColumns(columns, texts, by_class, digests)


def _sort_classes(names: Iterable[str], layout: Layout) -> list[str]:
    """The classes in the order of the columns; those of a list or a mapping by number or name."""
    if layout.probabilities:
        return list(layout.probabilities)
    return sorted(names, key=lambda name: (len(name), name) if name.isdigit() else (0, name))


def _read_objects(path: Path) -> Iterator[Line]:
    """(number, object) of each line that is not blank."""
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        try:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _parse_object(path, number, line)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is not UTF-8: {error.reason} (0x{error.object[error.start]:02x})"
            ) from None


def _parse_object(path: Path, number: int, line: str) -> JsonObject:
    try:
        row = parse_json(line)
    except NOT_JSON as error:
        raise DataError(
            f"{path}: line {number} is not JSON ({describe_json_error(error)}): {line.strip()[:60]!r}; "
            "expected one object per line"
        ) from None
    if not isinstance(row, dict):
        raise DataError(f"{path}: line {number} is {line.strip()[:60]}, expected an object")
    return row


def _read_text(path: Path, line: int, value: object) -> str | None:
    if isinstance(value, str):
        _refuse_half_pair(f"{path}: line {line}", value)
    if value is None or isinstance(value, str):
        return value
    if value != value:  # NaN is how pandas writes a missing value
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    raise DataError(f"{path}: line {line}: {json.dumps(value)[:60]} was given, expected a text or a number")


def _refuse_half_pair(where: str, text: str) -> None:
    if not text.isascii() and HALF_PAIR.search(text):
        raise DataError(
            f"{where}: {text[:60]!a} contains half of a surrogate pair, which text cannot contain"
        )


def _read_probabilities(
    path: Path, layout: Layout, block: list[Line], first: JsonObject
) -> dict[str, pa.Array]:
    """class -> (rows,) float64 of one block. first: the first object; all others must be like it."""
    if layout.nested is None:
        return {
            name: _read_numbers(path, block, [row.get(column) for _, row in block])
            for name, column in layout.probabilities.items()
        }
    nested: list[Any] = [row.get(layout.nested) for _, row in block]
    like: Any = first.get(layout.nested)
    for (line, _), value in zip(block, nested, strict=True):
        if not _is_alike(value, like):
            raise DataError(
                f"{path}: line {line}: {layout.nested} is {json.dumps(value)[:60]}, expected a list or a "
                "mapping of numbers, of the same kind and length in all rows"
            )
    if isinstance(like, list):
        return {str(k): _read_numbers(path, block, [row[k] for row in nested]) for k in range(len(like))}
    names = dict.fromkeys(name for row in nested for name in row)
    for name in names:
        _refuse_half_pair(f"{path}: {layout.nested}", name)
    return {name: _read_numbers(path, block, [row.get(name, 0.0) for row in nested]) for name in names}


def _is_alike(value: object, like: object) -> bool:
    """Whether both are mappings, or lists of the same length."""
    if isinstance(like, list):
        return isinstance(value, list) and len(value) == len(like) > 0
    return isinstance(value, dict) and isinstance(like, dict)


def _read_numbers(path: Path, block: list[Line], values: Sequence[object]) -> pa.Array:
    """(rows,) float64 of the values of a class. Raises DataError that names the line of a wrong value."""
    try:
        return pa.array(values, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # all at once is fast; row by row finds the line
        for (line, _), value in zip(block, values, strict=True):
            if not isinstance(value, int | float | None) or abs(value or 0) > 1:
                raise DataError(
                    f"{path}: line {line}: {json.dumps(value)[:60]} was given as a probability, expected "
                    "a number from 0 to 1"
                ) from None
        raise
