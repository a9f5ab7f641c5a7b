"""Reads rows that are JSON objects, one a line or in a list, as an Arrow table.

The package `datasets` is not used, because it turns text such as "2020-01-01" into a timestamp. In a column
with numbers and strings it also keeps the JSON quotes of the strings.

Lines are read in batches. Each batch is written to an Arrow file and mapped from it, so that it does not take
memory. If a column has the same type in all batches, that is its type. Otherwise all of its values are read
again, because its type depends on them.
"""

from __future__ import annotations

import io
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from slimgate._system.json_text import NOT_JSON, describe_json_error, parse_json
from slimgate.errors import DataError

Object = dict[str, Any]
ROWS_AT_ONCE = 10_000
CHARACTERS_AT_ONCE = 2**23
# A column that each batch has, so that a batch of empty objects has a length too.
_COUNT = "rows"
# Errors of Arrow for values that have no common type.
_NO_TYPE = (UnicodeEncodeError, pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)
_INCOMPLETE_LINE = "; the line is incomplete: was the run that wrote it interrupted?"


def spill_pieces(pieces: Iterable[pa.Table], scratch: Path) -> list[pa.Table]:
    """Writes tables to files in `scratch`, and maps them from the files.

    Neighbours with the same schema are joined, so it returns a table for each run of neighbours. The files
    may be removed as soon as it returns.
    """
    return [
        _map_pieces(schema, run, scratch)
        for schema, run in itertools.groupby(pieces, key=lambda piece: piece.schema)
    ]


def _map_pieces(schema: pa.Schema, pieces: Iterable[pa.Table], scratch: Path) -> pa.Table:
    handle, name = tempfile.mkstemp(suffix=".arrow", dir=scratch)
    with open(handle, "wb") as stream, pa.ipc.new_file(stream, schema) as writer:
        for piece in pieces:
            writer.write_table(piece)
    with pa.memory_map(name) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()


@dataclass
class _BatchColumns:
    """The columns of the batches so far.

    names: the names of the columns in order of first appearance. typeless: the columns that had values of
    several types in one batch.
    """

    names: dict[str, None] = field(default_factory=dict)
    typeless: set[str] = field(default_factory=set)


def parse_objects(path: Path, text: str) -> Iterator[Object]:
    """The objects of a whole file, which is a list or has one object a line. Raises DataError."""
    if text.lstrip().startswith("["):
        return _parse_list(path, text)
    return parse_lines(path, io.StringIO(text, newline="\n"))


def parse_lines(path: Path, lines: Iterable[str], *, first: int = 1) -> Iterator[Object]:
    """The object of each line. Blank lines are skipped. first: the number of the first line.

    Raises DataError naming file and line.
    """
    return (row for _, row in parse_numbered_lines(path, lines, first=first))


def parse_numbered_lines(
    path: Path,
    lines: Iterable[str | bytes],
    *,
    first: int = 1,
    parse: Callable[[str | bytes], Any] = parse_json,
) -> Iterator[tuple[int, Object]]:
    """(line, object) of each line that is not blank. Raises DataError naming file and line."""
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except NOT_JSON as error:
            text = line if isinstance(line, str) else line.decode("utf-8", "replace")
            hint = "" if text.endswith("\n") else _INCOMPLETE_LINE
            raise DataError(
                f"{path}: line {number} is not JSON ({describe_json_error(error)}): "
                f"{text.strip()[:60]!r}; expected one object per line{hint}"
            ) from None
        yield number, _check_object(row, f"{path}: line {number}")


def make_object_table(rows: list[Object], *, where: str) -> pa.Table:
    """Objects as a table. A key that a row lacks is null. A column of mixed scalars becomes strings.

    where: the file, for messages. Raises DataError for a column that mixes lists or objects with other types.
    """
    names = list(dict.fromkeys(key for row in rows for key in row))
    return pa.table(
        {name: _make_array([row.get(name) for row in rows], f"{where}: {name}") for name in names}
    )


def read_typed_lines(path: Path, lines: Iterable[str], again: Iterable[str], *, scratch: Path) -> pa.Table:
    """The objects of lines as a table, as by `make_object_table`, but mapped from files.

    again: the same lines once more, for columns that have to be read a second time. Raises DataError, as
    `parse_lines` and `make_object_table` do.
    """
    columns_seen = _BatchColumns()
    runs = spill_pieces((_make_piece(rows, columns_seen) for rows in _parse_batches(path, lines)), scratch)
    kinds = {name: _list_types(runs, name) for name in columns_seen.names}
    values_read_again: dict[str, list[Any]] = {
        name: [] for name in columns_seen.names if name in columns_seen.typeless or len(kinds[name]) > 1
    }
    if values_read_again:
        for row in parse_lines(path, again):
            for name, values in values_read_again.items():
                values.append(row.get(name))
    columns = {}
    for name in columns_seen.names:
        if name in values_read_again:
            columns[name] = _make_array(values_read_again.pop(name), f"{path}: {name}")
        else:
            columns[name] = _join_runs(runs, name, next(iter(kinds[name]), pa.null()))
    return pa.table(columns)


def _parse_batches(path: Path, lines: Iterable[str]) -> Iterator[list[Object]]:
    """The objects of the lines in batches; long lines make small batches."""
    lines, number = iter(lines), 1
    while batch := _take_some_lines(lines):
        yield list(parse_lines(path, batch, first=number))
        number += len(batch)


def _take_some_lines(lines: Iterator[str]) -> list[str]:
    pieces: list[str] = []
    characters = 0
    for line in lines:
        pieces.append(line)
        characters += len(line)
        if len(pieces) >= ROWS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
            break
    return pieces


def _make_piece(rows: list[Object], columns_seen: _BatchColumns) -> pa.Table:
    """A table of `_COUNT` and the columns that have one type in these rows. Notes all in `columns_seen`.

    Column names get a dot in front, so that none is `_COUNT`.
    """
    names = dict.fromkeys(key for row in rows for key in row)
    columns_seen.names.update(names)
    columns = {"." + name: _infer_array([row.get(name) for row in rows]) for name in names}
    columns_seen.typeless.update(name for name in names if columns["." + name] is None)
    typed = {name: column for name, column in columns.items() if column is not None}
    return pa.table({_COUNT: pa.nulls(len(rows)), **typed})


def _infer_array(values: Sequence[object]) -> pa.Array | None:
    try:
        return pa.array(values)
    except _NO_TYPE:
        return None


def _list_types(runs: list[pa.Table], name: str) -> set[pa.DataType]:
    """The types of a column in the tables that have it, without the type null."""
    kinds = {run["." + name].type for run in runs if "." + name in run.column_names}
    return {kind for kind in kinds if not pa.types.is_null(kind)}


def _join_runs(runs: list[pa.Table], name: str, kind: pa.DataType) -> pa.ChunkedArray:
    chunks: list[pa.Array] = []
    for run in runs:
        has_type = "." + name in run.column_names and run["." + name].type == kind
        chunks += run["." + name].chunks if has_type else [pa.nulls(run.num_rows, kind)]
    return pa.chunked_array(chunks, kind)


def _make_array(values: Sequence[object], where: str) -> pa.Array:
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: {error.object[error.start]!r} is half of a surrogate pair, which text cannot contain"
        ) from None
    except _NO_TYPE:
        if any(isinstance(value, dict | list) for value in values):
            raise DataError(
                f"{where}: lists or objects are mixed with values of another type, expected one type; write "
                "objects that differ, such as tools and their arguments, as JSON text"
            ) from None
        return pa.array([_format_scalar(value) for value in values])


def _format_scalar(value: object) -> str | None:
    """The text of a value in a column of several types."""
    if value is None or isinstance(value, str):
        return value
    return None if value != value else json.dumps(value)  # NaN is how pandas writes a missing value


def _parse_list(path: Path, text: str) -> Iterator[Object]:
    try:
        rows = parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is not JSON: {error.msg}") from None
    except NOT_JSON as error:
        raise DataError(f"{path} is not JSON: {describe_json_error(error)}") from None
    for number, row in enumerate(rows, start=1):
        yield _check_object(row, f"{path}: item {number}")


def _check_object(row: object, where: str) -> Object:
    if not isinstance(row, dict):
        raise DataError(f"{where} is {json.dumps(row)[:60]}, expected an object with one value per column")
    for name in row:
        if not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError:
                raise DataError(
                    f"{where}: the key {json.dumps(name)} contains half of a surrogate pair; rename the key"
                ) from None
    return row
