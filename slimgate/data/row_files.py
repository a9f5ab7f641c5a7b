"""Rows of one file: csv, tsv, jsonl, json, parquet or text, as an Arrow table.

Tables are memory-mapped from Arrow files in a scratch folder. The caller may remove this folder as soon as it
has the table. A json file is read into memory as a whole.

`recognize_format` names the format of a file that is not text by its first bytes, whatever its suffix is.
Source: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.2, bzip2's and lz4's frames, APPNOTE.TXT 4.3.7
(zip), Apache Parquet's file format, HDF5's and SQLite's file formats, Apache Arrow's IPC file format.
"""

from __future__ import annotations

import csv
import glob
import itertools
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from slimgate._system.files import explain_missing_path
from slimgate.data.joined_rows import refuse_joined_rows
from slimgate.data.json_rows import (
    Object,
    make_object_table,
    parse_lines,
    parse_objects,
    read_typed_lines,
    spill_pieces,
)
from slimgate.data.text_files import (
    has_utf_16_mark,
    make_wrong_text_error,
    read_text_blocks,
    split_lines,
)
from slimgate.errors import DataError, SuiteError, did_you_mean

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from pyarrow.csv import CSVStreamingReader

_RECOGNIZED_BYTES = 16  # bytes that a file of another kind is recognized by
# The beginning of JSON; a header in braces, such as {id}, is none.
_JSON_START = re.compile(r'\s*(\[\s*(\{|$)|\{\s*("|$))')
_LONGEST_START = 1_000  # characters that JSON is recognized by
# A csv is read in blocks of this many bytes, and a row (with its text columns) must fit into one.
LONGEST_ROW = 16 * 2**20
# How files that are not text begin, and what an error calls them.
_FORMAT_STARTS = (
    (re.compile(rb"\x1f\x8b\x08"), "compressed by gzip"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "compressed by zstd"),
    (re.compile(rb"\xfd7zXZ\x00"), "compressed by xz"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "compressed by bzip2"),
    (re.compile(rb"\x04\x22\x4d\x18"), "compressed by lz4"),
    (re.compile(rb"PK\x03\x04"), "a zip archive (or a workbook, .xlsx)"),
    (re.compile(rb"PAR1[\x00-\x1f]"), "parquet"),
    (re.compile(rb"ARROW1\x00\x00"), "an Arrow file"),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "HDF5"),
    (re.compile(rb"SQLite format 3\x00"), "a database of SQLite"),
)
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
}
MOST_NAMED = 5  # files that an error names if the requested file does not exist
MOST_BYTES = 4 * 2**30  # of a json file, which is read as a whole
MOST_ROWS = 100_000_000  # a parquet of kilobytes may say that it holds billions
LONGEST_LINE = 16 * 2**20  # characters
ROWS_AT_ONCE = 10_000  # rows of a text file that become one piece of the table
SEPARATORS = {"csv": ",", "tsv": "\t"}
_NO_QUOTES = (
    "if double quotes are part of the texts, add quotes = false to the source (slimgate init: --no-quotes)"
)


def recognize_format(path: Path) -> str | None:
    """The format of a file that is not text, by its first bytes; None for text and for unknown formats."""
    with path.open("rb") as stream:
        start = stream.read(_RECOGNIZED_BYTES)
    return next((name for pattern, name in _FORMAT_STARTS if pattern.match(start)), None)


def describe_unknown_suffix(path: Path) -> str | None:
    """Why the suffix of a file of rows does not show its format, and what to do; None if it does."""
    if path.suffix.lower() in SUFFIXES:
        return None
    contents = recognize_format(path) if path.is_file() else None
    remedy = f"the file is {contents}: unpack or rename it" if contents else "rename the file"
    known = " ".join(SUFFIXES)
    return f"{path.name}: suffix {path.suffix or 'none'} does not show the format; known: {known}; {remedy}"


@dataclass(frozen=True)
class RowFile:
    """A file and how it is read. `quotes`: whether a double quote of a csv or tsv may enclose a field."""

    path: Path
    format: str
    encoding: str = "utf-8"
    quotes: bool = True


def require_file(path: Path) -> None:
    """Raises SuiteError if `path` is not a file, with the nearest name in its folder."""
    if path.is_file():
        return
    if path.is_dir():
        raise SuiteError(f"{path} is a folder, expected a file of rows")
    raise SuiteError(f"{path}: no such file{explain_missing_path(path) or _suggest_file(path)}")


def require_file_or_folder(path: Path) -> None:
    """Raises SuiteError if `path` is neither a file nor a folder, with the nearest name in its folder."""
    if path.is_file() or path.is_dir():
        return
    if reason := explain_missing_path(path):
        raise SuiteError(f"{path}: no such file or folder{reason}")
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file() or entry.is_dir()]
    raise SuiteError(f"{path}: no such file or folder{did_you_mean(path.name, names)}")


def _suggest_file(path: Path) -> str:
    """A hint: the same name one folder up, or the nearest file of rows in the folder, or some files there."""
    if (path.parent.parent / path.name).is_file():
        return f". Did you mean ../{path.name}? There is {path.parent.parent / path.name}"
    files = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    row_files = sorted(name for name in files if Path(name).suffix.lower() in SUFFIXES)
    if suggestion := did_you_mean(path.name, row_files):
        return suggestion
    more = ", …" if len(row_files) > MOST_NAMED else ""
    return f"; in the same folder: {', '.join(row_files[:MOST_NAMED])}{more}" if row_files else ""


def read_column_names(file: RowFile) -> tuple[str, ...]:
    """The names of the columns. Raises DataError.

    Any object of a json or jsonl file may have a key that the objects before it lack, so all are read. A file
    that has not changed is read only once in a process.
    """
    _check_start(file)
    if file.format == "text":
        return ("text",)
    if file.format == "parquet":
        return tuple(open_parquet(file.path).schema_arrow.names)
    if file.format in SEPARATORS:
        return _read_header_names(file)
    status = file.path.stat()
    return _read_object_keys(file, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=64)
def _read_object_keys(file: RowFile, _status: tuple[int, ...]) -> tuple[str, ...]:
    """The keys of all objects, in the order of their first use. _status: of the file, for the cache only."""
    objects = (
        parse_lines(file.path, _read_file_lines(file)) if file.format == "jsonl" else _read_json_objects(file)
    )
    keys: dict[str, object] = {}
    for row in objects:
        keys.update(row)
    return tuple(keys)


def read_all_rows(file: RowFile, *, scratch: Path) -> pa.Table:
    """All rows. Columns of csv and tsv are strings, as written; for jsonl and json, see `make_object_table`.

    Text: one row per line; blank lines are left out. Raises DataError, also if there is no row.
    """
    _check_start(file)
    if file.format in SEPARATORS:
        table = _read_csv(file, scratch)
    elif file.format == "parquet":
        table = _read_parquet(file, scratch)
    elif file.format == "text":
        table = _read_text(file, scratch)
    elif file.format == "jsonl":
        table = read_typed_lines(file.path, _read_file_lines(file), _read_file_lines(file), scratch=scratch)
    else:
        table = make_object_table(list(_read_json_objects(file)), where=str(file.path))
    if not table.num_rows:
        raise DataError(f"{file.path} has no rows, expected at least one below its header")
    if _is_object_of_columns(table):
        raise DataError(
            f"{file.path} is one object of columns, expected an object for each row; pandas writes rows with "
            'to_json(orient="records")'
        )
    return table


def _is_object_of_columns(table: pa.Table) -> bool:
    """Whether the only row has a column in each key, as pandas writes by default."""
    if table.num_rows != 1 or not all(map(pa.types.is_struct, table.schema.types)):
        return False
    row_names = {tuple(field.name for field in kind) for kind in table.schema.types}
    return len(row_names) == 1 and len(row_names.pop()) > 1


def _check_start(file: RowFile) -> None:
    """Raises SuiteError if the file does not exist, DataError if it is empty or begins as another format."""
    require_file(file.path)
    if file.path.stat().st_size == 0:
        raise DataError(f"{file.path} is empty, expected rows as {file.format}")
    if file.format != "parquet" and (foreign := recognize_format(file.path)) is not None:
        raise DataError(f"{file.path} is {foreign}, expected rows as {file.format}; unpack or rename it")


def _read_file_lines(file: RowFile) -> Iterator[str]:
    return split_lines(read_text_blocks(file.path, file.encoding))


def _read_json_objects(file: RowFile) -> Iterator[Object]:
    """The objects of a json file. It is read as a whole, because it may be one list."""
    if (size := file.path.stat().st_size) > MOST_BYTES:
        raise DataError(
            f"{file.path} has {size:,} bytes, but slimgate reads at most {MOST_BYTES:,} bytes of "
            f"{file.format}; save the rows as jsonl or parquet"
        )
    return parse_objects(file.path, "".join(read_text_blocks(file.path, file.encoding)))


def _read_text(file: RowFile, scratch: Path) -> pa.Table:
    # Not by datasets: its reader also ends a row at a lone carriage return.
    lines = (line.removesuffix("\n").removesuffix("\r") for line in _read_file_lines(file))
    rows = (line for line in lines if line.strip())
    batches = iter(lambda: list(itertools.islice(rows, ROWS_AT_ONCE)), [])
    pieces = (pa.table({"text": pa.array(batch, pa.string())}) for batch in batches)
    table = spill_pieces(pieces, scratch)
    return table[0] if table else pa.table({"text": pa.array([], pa.string())})


def _refuse_endless_line(file: RowFile, blocks: Iterable[str]) -> Iterator[str]:
    """Raises DataError for a very long line, of which pandas would hold many copies in memory."""
    number, length = 1, 0
    for block in blocks:
        for is_new_line, piece in enumerate(block.split("\n")):
            if is_new_line:  # the first piece of a block continues the last line of the block before
                number, length = number + 1, 0
            length += len(piece)
            if length > LONGEST_LINE:
                raise DataError(
                    f"{file.path}: line {number} is longer than {LONGEST_LINE:,} characters, expected rows "
                    f"as {file.format}"
                )
        yield block


def _read_header_names(file: RowFile) -> tuple[str, ...]:
    """The names in the header of a csv or tsv. Raises DataError if they cannot be names of columns."""
    if has_utf_16_mark(file.path):
        next(read_text_blocks(file.path, file.encoding), None)  # raises, unless that is the stated encoding
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if file.quotes else csv.QUOTE_NONE
    with file.path.open(encoding=file.encoding, errors="replace", newline="") as stream:
        try:
            if stream.read(1) != "\ufeff":
                stream.seek(0)
            start = stream.tell()
            first = stream.readline(_LONGEST_START)
            if _JSON_START.match(first):
                raise DataError(
                    f"{file.path}: it begins with {first.strip()[:20]!r}, as JSON does; expected names of "
                    "columns; rename the file to .jsonl (one object per line) or .json"
                )
            stream.seek(start)
            reader = csv.reader(stream, delimiter=SEPARATORS[file.format], quoting=quoting)
            names = next((row for row in reader if row), [])
        except csv.Error as error:
            raise DataError(f"{file.path}: the header cannot be read as {file.format}: {error}") from None
        except UnicodeError as error:
            raise make_wrong_text_error(file.path, file.encoding, error) from None
    _check_header_names(file, names)
    return tuple(names)


def _check_header_names(file: RowFile, names: Sequence[str]) -> None:
    """Raises DataError if a header has another separator, the same name twice, or an empty name."""
    header, separator = names[0] if len(names) == 1 else "", SEPARATORS[file.format]
    known = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
    if other := next((name for sign, name in known.items() if sign != separator and sign in header), None):
        raise DataError(
            f"{file.path}: the header is one column, {header[:80]!r}, and looks separated by {other}; "
            "save the file with commas as .csv, or with tabs as .tsv"
        )
    repeated = next((name for name, times in Counter(names).items() if times > 1), None)
    if repeated is None and all(names):
        return
    problem = f"column {repeated!r} twice" if repeated else "a column without a name"
    actual = ", ".join(name or '""' for name in names)
    hint = ""
    if names[0] == "":
        hint = "; pandas writes an index like this, and to_csv(index=False) leaves it out"
    raise DataError(
        f"{file.path}: the header has {problem}, expected a different name for each "
        f"column, found: {actual}{hint}"
    )


def open_parquet(path: Path) -> pq.ParquetFile:
    """The open file, whose columns are read without buffering the whole file. Raises DataError."""
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the column name {error.object!r} is not UTF-8; rename the column") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not parquet: {error}") from None


def open_csv(
    path: Path, format: str, columns: Sequence[str], kinds: Mapping[str, pa.DataType]
) -> CSVStreamingReader:
    """Some columns of a csv or tsv, in blocks. "NA" and "None" are words; an empty field is missing.

    kinds: the types of columns whose type must not be guessed. Raises pa.ArrowInvalid, and DataError if a
    double quote joined rows.
    """
    import pyarrow.csv as arrow_csv

    status = path.stat()
    _check_joined_rows(path, format, (status.st_ino, status.st_mtime_ns, status.st_size))
    return arrow_csv.open_csv(
        path,
        read_options=arrow_csv.ReadOptions(block_size=LONGEST_ROW),
        parse_options=arrow_csv.ParseOptions(delimiter=SEPARATORS[format], newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=kinds, include_columns=columns, null_values=[""], strings_can_be_null=True
        ),
    )


@lru_cache(maxsize=64)
def _check_joined_rows(path: Path, format: str, _status: tuple[int, ...]) -> None:
    """Refuses joined rows. _status: of the file, for the cache only: an unchanged file is checked once."""
    refuse_joined_rows(path, SEPARATORS[format])


def _read_parquet(file: RowFile, scratch: Path) -> pa.Table:
    count = open_parquet(file.path).metadata.num_rows
    if count > MOST_ROWS:
        raise DataError(
            f"{file.path} has {count:,} rows, but at most {MOST_ROWS:,} can be read; use a sample of the rows"
        )
    if not count:  # datasets fails on it (its batch size becomes 0)
        return open_parquet(file.path).read()
    return _load_with_datasets("parquet", file.path, file, scratch)


def _read_csv(file: RowFile, scratch: Path) -> pa.Table:
    """Reads with datasets, without the guesses of pandas: "NA" and "None" are words, "01" is not 1."""
    import datasets
    import pandas

    copy = _copy_as_utf8(file, scratch)
    names = read_column_names(file)
    if file.quotes:
        refuse_joined_rows(copy, SEPARATORS[file.format], shown=file.path, hint=_NO_QUOTES)
    with warnings.catch_warnings():
        # Rows that are all longer than the header only warn, and lose their last fields.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        table = _load_with_datasets(
            "csv",
            copy,
            file,
            scratch,
            sep=SEPARATORS[file.format],
            quoting=csv.QUOTE_MINIMAL if file.quotes else csv.QUOTE_NONE,
            keep_default_na=False,
            index_col=False,
            features=datasets.Features({name: datasets.Value("string") for name in names}),
        )
    _refuse_repeated_header(file.path, table)
    return table


def _refuse_repeated_header(path: Path, table: pa.Table) -> None:
    """Raises DataError for a row that holds the names of all columns, as where two files were joined."""
    import pyarrow.compute as pc

    names = table.column_names
    is_header = reduce(pc.and_, (pc.equal(table[name], name) for name in names))
    if len(names) > 1 and (row := pc.index(is_header, True).as_py()) >= 0:
        raise DataError(f"{path}: row {row + 1} repeats the header ({', '.join(names)}); remove this row")


def _copy_as_utf8(file: RowFile, scratch: Path) -> Path:
    """A copy in UTF-8, with a name that datasets does not take for a pattern or an address."""
    handle, copy = tempfile.mkstemp(suffix=".csv", dir=scratch)
    with open(handle, "wb") as stream:
        for block in _refuse_endless_line(file, read_text_blocks(file.path, file.encoding)):
            try:
                stream.write(block.encode())
            except UnicodeEncodeError as error:  # half of a pair of surrogates, which utf-7 lets through
                raise DataError(f"{file.path} is not {file.encoding}: {error}") from error
    return Path(copy)


def _load_with_datasets(kind: str, path: Path, file: RowFile, scratch: Path, **options: object) -> pa.Table:
    """Loads a local file with datasets, memory-mapped from `scratch`. path: `file`, or a copy of it."""
    import datasets

    with _silence_datasets(datasets):
        try:
            rows = datasets.load_dataset(
                kind,
                data_files={"rows": [glob.escape(str(path))]},
                split="rows",
                cache_dir=str(scratch),
                **options,
            )
        except Exception as error:  # datasets raises whatever its readers raise, wrapped or not
            if "corresponds to no data" in str(error):
                raise DataError(f"{file.path} has no rows, expected at least one below its header") from None
            cause = " ".join(str(error.__cause__ or error).split())
            # a quote inside a text of a csv begins a field that does not end
            hint = f"; {_NO_QUOTES}" if kind == "csv" and file.quotes and "tokenizing" in cause else ""
            raise DataError(f"{file.path} cannot be read as {file.format}: {cause}{hint}") from error
    return rows.data.table.replace_schema_metadata(None)


@contextmanager
def _silence_datasets(datasets: ModuleType) -> Iterator[None]:
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
