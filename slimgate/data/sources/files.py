"""Rows from local files.

    { name = "files", path = "rows.csv" }                              one table: all splits are cut from it
    { name = "files", train = "a.csv", gate = ["b.csv", "c.csv"] }     named splits: one file each, or several
    { name = "files", by_label = { pos = "a.txt", neg = "b.txt" } }    a row a line; columns text and label
    { name = "files", path = "rows.csv", images = ["image"] }          paths of images, from the file's folder

Formats: csv, tsv, jsonl, json, parquet and text (txt).
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from slimgate._system.digests import file_sha256
from slimgate.data.images import digest_images, read_images
from slimgate.data.row_files import SUFFIXES, RowFile, read_all_rows, read_column_names, require_file
from slimgate.errors import DataError
from slimgate.plugins.params import SuitePath, Table
from slimgate.plugins.source import Source

NAMED = ("train", "calibration", "selection", "gate", "confirm")


def _wrap_in_tuple(value: object) -> Any:
    if isinstance(value, str | Path):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Paths = Annotated[
    tuple[SuitePath, ...],
    BeforeValidator(_wrap_in_tuple),
    Field(min_length=1),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]


class Params(Table):
    """Either `path`, or `by_label`, or one or more of train, calibration, selection, gate, confirm."""

    path: Paths | None = None
    """One table, in one file or several files, from which all splits are cut."""
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
        named = [name for name in NAMED if getattr(self, name)]
        stated = ["path"] * bool(self.path) + named[:1] + ["by_label"] * bool(self.by_label is not None)
        if len(stated) != 1:
            actual = " and ".join(stated) or "none of them"
            raise _make_files_error(
                f"expected path, or by_label, or some of {', '.join(NAMED)}; {actual} given"
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
    def _check_files(self) -> Params:
        try:
            "".encode(
                codecs.lookup(self.encoding).name
            )  # Python knows codecs such as rot13, which are not encodings of text
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
            if label is None and self.format is None and path.suffix.lower() not in SUFFIXES:
                raise _make_files_error(
                    f"{path.name}: suffix {path.suffix or 'none'} does not show the format; known: "
                    f"{' '.join(SUFFIXES)}; or set format"
                )
        return self


class Files(Source[Params]):
    def columns(self, params: Params) -> tuple[str, ...]:
        """The column names of all parts, in the order of the first file.

        Raises SuiteError for a file that is not there, DataError for one that cannot be read, or if the
        files of one part have other columns.
        """
        if params.by_label is not None:
            for _, _, path in _list_part_files(params):
                require_file(path)
            return ("text", "label")
        names: dict[str, tuple[Path, tuple[str, ...]]] = {}
        for part, _, path in _list_part_files(params):
            file_columns = read_column_names(_make_row_file(params, path))
            _check_same_names(params, path, file_columns, *names.setdefault(part, (path, file_columns)))
        return tuple(dict.fromkeys(name for _, file_columns in names.values() for name in file_columns))

    def parts(self, params: Params) -> tuple[str, ...]:
        """("all",), or the parts that are stated among train, calibration, selection, gate and confirm."""
        return tuple(dict.fromkeys(part for part, _, _ in _list_part_files(params)))

    def is_real(self, params: Params) -> bool:
        """The value in the suite; the default is true, because users bring rows that people wrote."""
        return params.real

    def digest(self, params: Params) -> str:
        """sha256 over parts, labels, the bytes of every file and how they are read; not over names of files.

        If rows name images, it includes their bytes.
        """
        total = hashlib.sha256(json.dumps([params.encoding, params.quotes]).encode())
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
        firsts: dict[str, tuple[Path, tuple[str, ...]]] = {}
        for part, label, path in _list_part_files(params):
            table = read_images(
                read_all_rows(_make_row_file(params, path), scratch=scratch), params.images, path.parent
            )
            if label is not None:
                table = table.append_column("label", pa.array([label] * table.num_rows, pa.string()))
            names = tuple(table.column_names)
            _check_same_names(params, path, names, *firsts.setdefault(part, (path, names)))
            tables_of_part.setdefault(part, []).append(table)
        types = _find_common_types([table for tables in tables_of_part.values() for table in tables])
        # a column that has its type already stays mapped
        return {
            part: pa.concat_tables(
                [
                    table.cast(pa.schema([(name, types[name]) for name in table.column_names]))
                    for table in tables
                ],
                promote_options="default",
            )
            for part, tables in tables_of_part.items()
        }


source = Files()


def _make_files_error(message: str) -> PydanticCustomError:
    return PydanticCustomError("files", "{message}", {"message": message})


def _list_part_files(params: Params) -> Iterator[tuple[str, str | None, Path]]:
    """(part, label, path) of every file, in the order in which rows are numbered."""
    for label, paths in (params.by_label or {}).items():
        yield from (("all", label, path) for path in paths)
    yield from (("all", None, path) for path in params.path or ())
    for part in NAMED:
        yield from ((part, None, path) for path in getattr(params, part) or ())


def _make_row_file(params: Params, path: Path) -> RowFile:
    kind = "text" if params.by_label is not None else params.format or SUFFIXES[path.suffix.lower()]
    return RowFile(path=path, format=kind, encoding=params.encoding, quotes=params.quotes)


def _check_same_names(
    params: Params, path: Path, actual: tuple[str, ...], first: Path, expected: tuple[str, ...]
) -> None:
    # An object may leave a key out, so files of objects need not agree; what is missing is null.
    if set(actual) != set(expected) and _make_row_file(params, path).format not in ("json", "jsonl"):
        raise DataError(
            f"{path} has columns {', '.join(actual)}, expected {', '.join(expected)} "
            f"as in {first.name} of the same part"
        )


def _find_common_types(tables: list[pa.Table]) -> dict[str, pa.DataType]:
    """A type for each column that holds its values in every table: the wider number type, else string."""
    columns: dict[str, list[pa.ChunkedArray]] = {}
    for table in tables:
        for name in table.column_names:
            columns.setdefault(name, []).append(table[name])
    kinds = {
        name: _find_common_type(name, [field.type for field in fields]) for name, fields in columns.items()
    }
    return {
        name: kinds[name] if _can_hold(kinds[name], fields) else pa.string()
        for name, fields in columns.items()
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
