"""Rows from local files.

    { name = "files", path = "rows.csv" }                              one table: all splits are cut from it
    { name = "files", train = "a.csv", gate = ["b.csv", "c.csv"] }     named splits: one file each, or several
    { name = "files", path = "rows.csv", split_column = "split", splits = { train = "train", gate = "test" } }
                                                                       a column names the split of each row
    { name = "files", by_label = { pos = "a.txt", neg = "b.txt" } }    a row a line; columns text and label
    { name = "files", path = "rows.csv", images = ["image"] }          paths of images, from the file's folder

Formats: csv, tsv, jsonl, json, parquet and text (txt).
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from slimgate._system.digests import file_sha256
from slimgate.data.arrow import select_table_rows
from slimgate.data.images import digest_images, read_images
from slimgate.data.row_files import (
    SUFFIXES,
    RowFile,
    describe_unknown_suffix,
    read_all_rows,
    read_column_names,
    require_file,
)
from slimgate.errors import DataError, format_suggestion
from slimgate.plugins.params import SuitePath, Table
from slimgate.plugins.source import Source


def _wrap_in_tuple(value: object) -> Any:
    if isinstance(value, str | Path):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


_ONE_OR_SEVERAL = (
    BeforeValidator(_wrap_in_tuple),
    Field(min_length=1),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
)
Paths = Annotated[tuple[SuitePath, ...], *_ONE_OR_SEVERAL]
Values = Annotated[tuple[str, ...], *_ONE_OR_SEVERAL]
PartName = Literal["train", "calibration", "selection", "gate", "confirm"]
# The parts that have a key of their own.
NAMED_PARTS: tuple[PartName, ...] = get_args(PartName)
# The usual values of a column that names splits. Without test rows, validation rows are the gate.
_USUAL_VALUES: dict[PartName, frozenset[str]] = {
    "train": frozenset({"train", "training"}),
    "calibration": frozenset({"calibration", "calib"}),
    "selection": frozenset({"validation", "valid", "val", "dev", "selection"}),
    "gate": frozenset({"test", "testing", "eval", "evaluation", "gate"}),
    "confirm": frozenset({"confirm", "holdout", "hold-out"}),
}


class Params(Table):
    """Either `path`, or `by_label`, or one or more of train, calibration, selection, gate, confirm."""

    path: Paths | None = None
    """One table, in one file or several files, from which all splits are cut."""
    split_column: str | None = None
    """Column of `path` that names the split of each row; `splits` says which values mean which split."""
    splits: dict[PartName, Values] = Field(default_factory=dict)
    """For each part the values of `split_column`, such as { train = "train", gate = ["test", "dev"] }."""
    train: Paths | None = None
    """File or files of the part train."""
    calibration: Paths | None = None
    """File or files of the part calibration."""
    selection: Paths | None = None
    """File or files of the part selection."""
    gate: Paths | None = None
    """File or files of the part gate."""
    confirm: Paths | None = None
    """File or files of the part confirm."""
    by_label: dict[str, Paths] | None = None
    """Text files by the label of their rows, with one row per line. The columns are text and label."""
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "text"] | None = None
    """Format of all files; default: the format that each file's suffix shows."""
    encoding: str = "utf-8"
    """Encoding of csv, tsv and text files."""
    quotes: bool = True
    """false: a double quote in csv or tsv is a normal character, as in GLUE's tsv."""
    images: tuple[str, ...] = ()
    """Columns with the paths of images; slimgate reads the images into the rows."""
    real: bool = True
    """false: the rows were made up, and reports say so."""

    @model_validator(mode="after")
    def _check_one_kind(self) -> Params:
        named = [name for name in NAMED_PARTS if getattr(self, name)]
        stated = ["path"] * bool(self.path) + named[:1] + ["by_label"] * bool(self.by_label is not None)
        if len(stated) != 1:
            actual = " and ".join(stated) or "none of them"
            raise _make_files_error(
                f"expected path, or by_label, or some of {', '.join(NAMED_PARTS)}; {actual} given"
            )
        if self.by_label is not None and len(self.by_label) < 2:
            raise _make_files_error(
                f"by_label needs at least two labels; found {', '.join(self.by_label) or 'none'}"
            )
        if self.by_label is not None and self.format not in (None, "text"):
            raise _make_files_error(
                f'by_label reads one line per row (format = "text"), and format = "{self.format}" was given'
            )
        if self.by_label is not None and self.images:
            raise _make_files_error("by_label gives only the columns text and label, without images")
        return self

    @model_validator(mode="after")
    def _check_split_column(self) -> Params:
        if (self.split_column is None) == bool(self.splits) or (self.splits and not self.path):
            raise _make_files_error(
                'split_column needs path and splits, such as path = "rows.csv", split_column = "split", '
                'splits = { train = "train", gate = "test" }'
            )
        values = [value for values in self.splits.values() for value in values]
        repeated = next((value for value in values if values.count(value) > 1), None)
        if repeated is not None:
            raise _make_files_error(f'splits names the value "{repeated}" twice: its rows would be in both')
        return self

    @model_validator(mode="after")
    def _check_files(self) -> Params:
        try:
            # Encodes a text, because Python also knows codecs that are no encodings of text, such as rot13.
            "".encode(codecs.lookup(self.encoding).name)
        except LookupError:
            raise _make_files_error(
                f'encoding {self.encoding} is not known; for example "utf-8" or "latin-1"'
            ) from None
        seen: dict[Path, str] = {}
        for part, label, path in _list_part_files(self):
            where = part if label is None else f"by_label.{label}"
            if path in seen:
                raise _make_files_error(
                    f"{path} occurs twice, in {seen[path]} and in {where}: its rows would be in both"
                )
            seen[path] = where
            problem = None if label is not None or self.format else describe_unknown_suffix(path)
            if problem:
                raise _make_files_error(f"{problem}, or set format in the source")
        return self


class Files(Source[Params]):
    def columns(self, params: Params) -> tuple[str, ...]:
        """The column names of all parts, in the order of the first file, without `split_column`.

        Raises SuiteError for a file that is not there, DataError for one that cannot be read, or if the
        files of one part have other columns.
        """
        if params.by_label is not None:
            for file in _list_part_files(params):
                require_file(file.path)
            return ("text", "label")
        first_of_part: dict[str, FileColumns] = {}
        for part, _, path in _list_part_files(params):
            columns = FileColumns(path, read_column_names(_make_row_file(params, path)))
            _check_same_columns(params, columns, first_of_part.setdefault(part, columns))
        names = tuple(dict.fromkeys(name for columns in first_of_part.values() for name in columns.names))
        if params.split_column is not None:
            _check_split_column_name(params.split_column, names)
        return tuple(name for name in names if name != params.split_column)

    def parts(self, params: Params) -> tuple[str, ...]:
        """("all",), or the parts that are stated among train, calibration, selection, gate and confirm."""
        if params.splits:
            return tuple(part for part in NAMED_PARTS if part in params.splits)
        return tuple(dict.fromkeys(file.part for file in _list_part_files(params)))

    def is_real(self, params: Params) -> bool:
        """The value in the suite; the default is true, because users bring rows that people wrote."""
        return params.real

    def digest(self, params: Params) -> str:
        """sha256 over parts, labels, the bytes of every file and how they are read; not over names of files.

        If rows name images, it includes their bytes.
        """
        reading = [params.encoding, params.quotes, params.split_column, params.splits]
        total = hashlib.sha256(json.dumps(reading).encode())
        for part, label, path in _list_part_files(params):
            require_file(path)
            total.update(
                json.dumps([part, label, _make_row_file(params, path).format, file_sha256(path)]).encode()
            )
            if params.images:
                with TemporaryDirectory(prefix="slimgate-") as scratch:
                    table = read_all_rows(_make_row_file(params, path), scratch=Path(scratch))
                total.update(digest_images(table, params.images, path.parent).encode())
        return total.hexdigest()

    def read(self, params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
        """The rows of each part; a column has the same type in all parts. Files of a part are in order."""
        tables_of_part: dict[str, list[pa.Table]] = {}
        first_of_part: dict[str, FileColumns] = {}
        for part, label, path in _list_part_files(params):
            rows = read_all_rows(_make_row_file(params, path), scratch=scratch)
            table = read_images(rows, params.images, path.parent)
            if label is not None:
                table = table.append_column("label", pa.array([label] * table.num_rows, pa.string()))
            columns = FileColumns(path, tuple(table.column_names))
            _check_same_columns(params, columns, first_of_part.setdefault(part, columns))
            tables_of_part.setdefault(part, []).append(table)
        types = _find_common_types([table for tables in tables_of_part.values() for table in tables])
        parts = {part: _concatenate_tables(tables, types) for part, tables in tables_of_part.items()}
        if params.split_column is None:
            return parts
        return select_parts(parts["all"], params.split_column, params.splits)


source = Files()


def select_parts(
    table: pa.Table, column: str, splits: Mapping[PartName, Sequence[str]]
) -> dict[str, pa.Table]:
    """The rows of each part, without the column that names their split.

    Args:
        table: all rows.
        column: the column that names the split of each row.
        splits: for each part the values of this column. They are compared as text.

    Raises:
        DataError: a row has no value or a value that no part names, or no row has any value of a part.
    """
    _check_split_column_name(column, table.column_names)
    names = [None if value is None else str(value) for value in table[column].to_pylist()]
    part_of_value = {value: part for part, values in splits.items() for value in values}
    unnamed = next((row for row, name in enumerate(names) if name not in part_of_value), None)
    if unnamed is not None:
        actual = "nothing" if names[unnamed] is None else f'"{names[unnamed]}"'
        raise DataError(
            f"row {unnamed + 1} has {actual} in split_column {column}, expected one of the values in splits: "
            f"{', '.join(part_of_value)}; add the value to a part, or remove the row from the file"
        )
    rows: dict[PartName, list[int]] = {part: [] for part in NAMED_PARTS if part in splits}
    for row, name in enumerate(names):
        rows[part_of_value[str(name)]].append(row)
    if (empty := next((part for part, numbers in rows.items() if not numbers), None)) is not None:
        raise DataError(
            f"no row is in part {empty}: split_column {column} never has {' or '.join(splits[empty])}; "
            f"its values are {', '.join(dict.fromkeys(map(str, names)))}"
        )
    rest = table.drop_columns([column])
    return {part: select_table_rows(rest, np.array(numbers)) for part, numbers in rows.items()}


def guess_splits(column: pa.ChunkedArray) -> dict[PartName, list[str]]:
    """For each part its values in the column; empty unless all values name splits, with train and a gate."""
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return {}
    values = column.unique().to_pylist()
    if len(values) > 10 or None in values:
        return {}
    splits = {
        part: sorted(value for value in values if value.strip().lower() in names)
        for part, names in _USUAL_VALUES.items()
    }
    splits = {part: names for part, names in splits.items() if names}
    if "gate" not in splits and "selection" in splits:
        splits["gate"] = splits.pop("selection")
    is_complete = sum(map(len, splits.values())) == len(values) and {"train", "gate"} <= set(splits)
    return splits if is_complete else {}


def _check_split_column_name(name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise DataError(f"split_column {name} is not a column of the rows{format_suggestion(name, names)}")


def _make_files_error(message: str) -> PydanticCustomError:
    return PydanticCustomError("files", "{message}", {"message": message})


class PartFile(NamedTuple):
    """A file of a part. label: the label of all its rows, with by_label; else None."""

    part: str
    label: str | None
    path: Path


class FileColumns(NamedTuple):
    """A file and the names of its columns."""

    path: Path
    names: tuple[str, ...]


def _list_part_files(params: Params) -> Iterator[PartFile]:
    """Every file, in the order in which rows are numbered."""
    for label, paths in (params.by_label or {}).items():
        yield from (PartFile("all", label, path) for path in paths)
    yield from (PartFile("all", None, path) for path in params.path or ())
    for part in NAMED_PARTS:
        yield from (PartFile(part, None, path) for path in getattr(params, part) or ())


def _make_row_file(params: Params, path: Path) -> RowFile:
    kind = "text" if params.by_label is not None else params.format or SUFFIXES[path.suffix.lower()]
    return RowFile(path=path, format=kind, encoding=params.encoding, quotes=params.quotes)


def _check_same_columns(params: Params, columns: FileColumns, first: FileColumns) -> None:
    """Raises DataError if a file has other columns than the first file of its part.

    An object may leave a key out, so files of objects need not agree; missing values are null.
    """
    has_objects = _make_row_file(params, columns.path).format in ("json", "jsonl")
    if set(columns.names) != set(first.names) and not has_objects:
        raise DataError(
            f"{columns.path} has columns {', '.join(columns.names)}, expected {', '.join(first.names)} "
            f"as in {first.path.name} of the same part"
        )


def _concatenate_tables(tables: Sequence[pa.Table], types: Mapping[str, pa.DataType]) -> pa.Table:
    """One table with these types of columns. A column that has its type already stays memory-mapped."""
    schemas = [pa.schema([(name, types[name]) for name in table.column_names]) for table in tables]
    converted = [table.cast(schema) for table, schema in zip(tables, schemas, strict=True)]
    return pa.concat_tables(converted, promote_options="default")


def _find_common_types(tables: list[pa.Table]) -> dict[str, pa.DataType]:
    """A type for each column that holds its values in every table: the wider number type, else string."""
    columns: dict[str, list[pa.ChunkedArray]] = {}
    for table in tables:
        for name in table.column_names:
            columns.setdefault(name, []).append(table[name])
    types = {
        name: _find_common_type(name, [column.type for column in same_name])
        for name, same_name in columns.items()
    }
    return {
        name: types[name] if _can_hold(types[name], same_name) else pa.string()
        for name, same_name in columns.items()
    }


def _can_hold(kind: pa.DataType, columns: list[pa.ChunkedArray]) -> bool:
    """Whether the type holds every value: a float cannot hold a whole number of 17 digits, such as an id."""
    try:
        for column in columns:
            column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _find_common_type(name: str, types: list[pa.DataType]) -> pa.DataType:
    if any(pa.types.is_nested(kind) for kind in types) and len(set(types)) > 1:
        raise DataError(
            f"column {name} has types {' and '.join(map(str, types))} in the files, expected one type"
        )
    schemas = [pa.schema([(name, kind)]) for kind in types]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(name).type
    except pa.ArrowTypeError:
        return pa.string()
