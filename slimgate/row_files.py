"""Rows of one file: csv, tsv, jsonl, json, parquet or text, as an Arrow table. Light until `rows_of`."""

from __future__ import annotations

import codecs
import csv
import difflib
import glob
import io
import itertools
import json
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from slimgate.errors import DataError, SuiteError
from slimgate.json_text import NOT_JSON, said

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
}
# What is no parquet is read whole, in text; so is one field of it.
MOST_BYTES = 4 * 2**30
LONGEST_FIELD = 16 * 2**20
SEPARATORS = {"csv": ",", "tsv": "\t"}


@dataclass(frozen=True)
class RowFile:
    """A file and how it is read. `quotes`: whether a double quote of a csv or tsv may enclose a field."""

    path: Path
    format: str
    encoding: str = "utf-8"
    quotes: bool = True


def require(path: Path) -> None:
    """Raises SuiteError where `path` is no file, with the nearest name that its folder has."""
    if path.is_file():
        return
    if path.is_dir():
        raise SuiteError(f"{path} is a folder, expected a file of rows")
    if not path.parent.is_dir():
        raise SuiteError(f"{path}: no such file; nor is there a folder {path.parent}")
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.4)
    raise SuiteError(f"{path}: no such file" + (f". Did you mean {close[0]}?" if close else ""))


def columns_of(file: RowFile) -> tuple[str, ...]:
    """Names of the columns, from the head of the file where its format allows that. Raises DataError."""
    _not_empty(file)
    if file.format == "text":
        return ("text",)
    if file.format == "parquet":
        return tuple(_parquet(file).schema_arrow.names)
    if file.format in SEPARATORS:
        return _header(file)
    head = (row for _, row in _objects(file))
    return tuple(dict.fromkeys(key for row in itertools.islice(head, 100) for key in row))


def rows_of(file: RowFile, *, scratch: Path) -> pa.Table:
    """All rows. Columns of csv and tsv are strings, as written; of jsonl and json as `typed` has them.

    Text: one row a line feed; blank lines are left out. Raises DataError, also where there is no row.
    """
    _not_empty(file)
    if file.format in SEPARATORS:
        table = _read_csv(file, scratch)
    elif file.format == "parquet":
        table = _read_parquet(file, scratch)
    elif file.format == "text":
        # Not by datasets: its reader also ends a row at a lone carriage return.
        lines = (line.removesuffix("\r") for line in _text(file).split("\n"))
        table = pa.table({"text": pa.array([line for line in lines if line.strip()], pa.string())})
    else:
        # Not by datasets: it turns text such as "2020-01-01" into a timestamp, and where a column holds
        # numbers and strings it writes the strings with their JSON quotes.
        table = typed([row for _, row in _objects(file)], where=str(file.path))
    if not table.num_rows:
        raise DataError(f"{file.path} has no rows, expected at least one below its header")
    return table


def _not_empty(file: RowFile) -> None:
    require(file.path)
    if file.path.stat().st_size == 0:
        raise DataError(f"{file.path} is empty, expected rows as {file.format}")


def typed(rows: list[dict[str, Any]], *, where: str) -> pa.Table:
    """Objects as a table; a key that a row has not is null, a column of mixed scalars becomes strings."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    return pa.table({name: _column([row.get(name) for row in rows], f"{where}: {name}") for name in names})


def _column(values: list[Any], where: str) -> pa.Array:
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: {error.object[error.start]!r} is half of a surrogate pair, which no text can hold"
        ) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        if any(isinstance(value, dict | list) for value in values):
            raise DataError(
                f"{where}: lists or objects beside values of another type, expected one type"
            ) from None
        return pa.array(
            [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        )


def _text(file: RowFile) -> str:
    """The whole file, decoded, without byte order mark. Raises DataError at the first byte that is wrong."""
    if (size := file.path.stat().st_size) > MOST_BYTES:
        raise DataError(
            f"{file.path} has {size:,} bytes, and {file.format} is read up to {MOST_BYTES:,}; "
            "write it as parquet"
        )
    raw = file.path.read_bytes()
    try:
        return raw.decode(file.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise DataError(
            f"{file.path}: byte {error.start} (0x{raw[error.start]:02x}) is not {file.encoding}; "
            f'add encoding = "{"utf-16" if wide else "latin-1"}" if that is how it was written'
        ) from None


def _no_endless_line(file: RowFile, text: str) -> None:
    """No row of a csv is longer: pandas would hold it many times over."""
    start = 0
    for number in itertools.count(1):
        end = text.find("\n", start)
        if (len(text) if end < 0 else end) - start > LONGEST_FIELD:
            raise DataError(
                f"{file.path}: line {number} is longer than {LONGEST_FIELD:,} characters, expected rows "
                f"as {file.format}"
            )
        if end < 0:
            return
        start = end + 1


def _header(file: RowFile) -> tuple[str, ...]:
    with file.path.open(encoding=file.encoding, errors="replace", newline="") as stream:
        if stream.read(1) != "\ufeff":
            stream.seek(0)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if file.quotes else csv.QUOTE_NONE
        reader = csv.reader(stream, delimiter=SEPARATORS[file.format], quoting=quoting)
        try:
            names = next((row for row in reader if row), [])
        except csv.Error as error:
            raise DataError(f"{file.path}: the header cannot be read as {file.format}: {error}") from None
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None or not all(names):
        what = f"column {twice!r} twice" if twice is not None and twice else "a column without a name"
        raise DataError(
            f"{file.path}: the header has {what}, expected one name a column; came {', '.join(names)}"
        )
    return tuple(names)


def _objects(file: RowFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object): one object a line, or for json a list of them (then line is its number)."""
    if file.format == "json" and (text := _text(file)).lstrip().startswith("["):
        return _listed(file.path, text)
    return _lines(file.path, io.StringIO(_text(file), newline="\n"))


def _listed(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is not JSON: {error.msg}") from None
    except NOT_JSON as error:
        raise DataError(f"{path} is not JSON: {said(error)}") from None
    for number, row in enumerate(rows, start=1):
        yield number, _object(row, f"{path}: item {number}")


def _lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except NOT_JSON as error:
            raise DataError(
                f"{path}: line {number} is not JSON ({said(error)}): "
                f"{line.strip()[:60]!r}; expected one object a line"
            ) from None
        yield number, _object(row, f"{path}: line {number}")


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where} is {json.dumps(row)[:60]}, expected an object with a value a column")
    return row


def _parquet(file: RowFile) -> pq.FileMetaData | Any:
    try:
        return pq.ParquetFile(file.path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file.path} is not parquet: {error}") from None


def _read_parquet(file: RowFile, scratch: Path) -> pa.Table:
    # datasets fails on a file of no rows (its batch size becomes 0).
    if not _parquet(file).metadata.num_rows:
        return _parquet(file).read()
    return _load("parquet", file.path, file.path, scratch)


def _read_csv(file: RowFile, scratch: Path) -> pa.Table:
    """By datasets, with every guess of pandas switched off: "NA" and "None" are words, "01" is not 1."""
    import datasets
    import pandas

    # A copy in UTF-8, under a name in which datasets sees no pattern and no address.
    handle, copy = tempfile.mkstemp(suffix=".csv", dir=scratch)
    text = _text(file)
    _no_endless_line(file, text)
    with open(handle, "wb") as stream:
        stream.write(text.encode())
    names = columns_of(file)
    with warnings.catch_warnings():
        # Rows that are all longer than the header only warn, and lose their last fields.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        return _load(
            "csv",
            Path(copy),
            file.path,
            scratch,
            sep=SEPARATORS[file.format],
            quoting=csv.QUOTE_MINIMAL if file.quotes else csv.QUOTE_NONE,
            keep_default_na=False,
            index_col=False,
            features=datasets.Features({name: datasets.Value("string") for name in names}),
        )


def _load(kind: str, path: Path, named: Path, scratch: Path, **options: Any) -> pa.Table:
    """One local file by datasets, silently, in memory. Errors name the file `named`."""
    import datasets

    with _silent(datasets):
        try:
            rows = datasets.load_dataset(
                kind,
                data_files={"rows": [glob.escape(str(path))]},
                split="rows",
                cache_dir=str(scratch),
                keep_in_memory=True,
                **options,
            )
        except Exception as error:  # datasets raises whatever its readers raise, wrapped or not
            if "corresponds to no data" in str(error):
                raise DataError(f"{named} has no rows, expected at least one below its header") from None
            cause = " ".join(str(error.__cause__ or error).split())
            raise DataError(f"{named} cannot be read as {kind}: {cause}") from error
    return rows.data.table.replace_schema_metadata(None)


@contextmanager
def _silent(datasets: Any) -> Iterator[None]:
    """No progress bar and no log line from datasets; its settings are put back."""
    bars, level = not datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()
