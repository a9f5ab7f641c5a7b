"""Reads and checks a prediction file: nothing missing, ids distinct, probabilities valid.

Prediction files of any tool are csv, tsv, jsonl or parquet.

A file is read block by block, only the columns that are needed, so that ten million rows fit in memory: in
each block labels and predictions become codes, probabilities numbers. Ids and class names are text, as
written: "007" stays, and the number 7 is "7". slimgate's own outcomes/*.parquet name their classes in the
schema's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slimgate._system.json_text import parse_texts
from slimgate._system.toml import format_value as quoted
from slimgate.data.row_files import RowFile, open_csv, open_parquet, read_column_names, require_file
from slimgate.data.text_files import refuse_utf_16
from slimgate.errors import DataError, to_one_line
from slimgate.logs.predictions.codes import (
    TEXT,
    digest_texts,
    encode_blocks,
    find_duplicates,
    find_id_spellings,
    is_empty,
    sort_by_id,
)
from slimgate.logs.predictions.columns import ColumnNames, FileColumns, Layout, StatedClasses, find_columns
from slimgate.logs.predictions.jsonl import read_jsonl
from slimgate.outcomes import SUM_TOLERANCE, Floats, Ints

EXAMPLES = 3
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}
# Rows of a block of a parquet file.
ROWS_AT_ONCE = 250_000
# What pyarrow says of a line with another number of columns.
_RAGGED = re.compile(r"Expected (\d+) columns, got (\d+): (.*)")
# The roles with few different texts, which are stored as codes.
CODED = ("label", "prediction")


def format_examples(values: pa.Array | Sequence[str]) -> str:
    """`"a", "b", "c" and 97 more`: up to three of them."""
    examples = values[:EXAMPLES]
    listed = ", ".join(map(quoted, examples.to_pylist() if isinstance(examples, pa.Array) else examples))
    return listed + (f" and {len(values) - EXAMPLES:,} more" if len(values) > EXAMPLES else "")


def check_missing(shown: str, ids: pa.Array, columns: Mapping[str, pa.Array]) -> None:
    """Raises DataError if a row has no value in one of the columns."""
    for name, column in columns.items():
        # parquet and jsonl can hold an empty text; in csv it is a missing value
        rows = np.flatnonzero(is_empty(column).to_numpy(zero_copy_only=False))
        if len(rows):
            raise DataError(
                f'{shown}: column "{name}" has no value in {len(rows):,} of {len(column):,} rows '
                f"({_describe_rows(ids, rows)})"
            )


def _describe_rows(ids: pa.Array, rows: npt.NDArray[np.intp]) -> str:
    """Ids of rows; if an id itself is missing, the rows' numbers."""
    examples = ids.take(rows)
    if examples[:EXAMPLES].null_count == 0 and "" not in examples[:EXAMPLES].to_pylist():
        return f"ids {format_examples(examples)}"
    return f"rows {format_examples(pa.array(rows + 1))}"


def check_ids(shown: str, ids: pa.Array) -> Ints:
    """(rows,) positions in the order of the ids. Raises DataError if an id occurs twice."""
    order = sort_by_id(ids)
    repeated = find_duplicates(ids, order)
    if len(repeated):
        occur = "id occurs" if len(repeated) == 1 else "ids occur"
        raise DataError(
            f"{shown}: {len(repeated):,} {occur} more than once: {format_examples(repeated)}; expected one "
            "row per id"
        )
    check_id_spellings(shown, ids)
    return order


def check_id_spellings(shown: str, ids: pa.Array) -> None:
    """Raises DataError for ids that differ only in blanks at their ends or in Unicode form."""
    if len(spellings := find_id_spellings(ids)):
        raise DataError(
            f"{shown}: the ids {format_examples(spellings)} differ only in blanks or Unicode form; expected "
            "one row per id, and each id written the same way"
        )


def check_probabilities(shown: str, ids: pa.Array, columns: dict[str, list[pa.Array]]) -> Floats:
    """(rows, classes) float64. columns: class -> probabilities in blocks, which are taken out to save memory.

    Raises DataError if a probability is missing, not finite or negative, or if a row does not sum to 1.
    """
    values = np.empty((len(ids), len(columns)))
    names = list(columns)
    for k, name in enumerate(names):
        column = pa.chunked_array(columns.pop(name), pa.float64())
        if column.null_count:
            missing = pc.is_null(column).to_numpy()
            _refuse(shown, ids, missing, f'no probability of class "{name}"')
        values[:, k] = column.to_numpy()
    _refuse(shown, ids, np.any(~np.isfinite(values), axis=1), "a probability that is NaN or infinite")
    _refuse(shown, ids, np.any(values < 0, axis=1), "a negative probability")
    sums = values.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        of_classes = format_examples(names)
        problem = (
            f"probabilities (of {of_classes}) that do not sum to 1 within {SUM_TOLERANCE:g}, first "
            f"{sums[off][0]:.6g}"
        )
        _refuse(shown, ids, off, problem)
    return values


def _refuse(shown: str, ids: pa.Array, wrong: npt.ArrayLike, problem: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        have = "has" if len(rows) == 1 else "have"
        raise DataError(
            f"{shown}: {len(rows):,} of {len(ids):,} rows {have} {problem}: ids "
            f"{format_examples(ids.take(rows))}"
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """The rows of one file. No value is missing.

    shown: the file, for messages.
    names: of its columns.
    columns: all columns of the file.
    ids, groups: (rows,) Arrow text.
    digests: (rows,) of the rows' texts, -1 for none; None if they are not read.
    by_id: (rows,) positions in the order of the ids, which are distinct.
    labels, predictions: (rows,) codes; no predictions if the file leaves them to the most probable class.
    probabilities: (rows, len(classes)) float64, each row summing to 1.
    classes: the names of the probabilities' classes in the file.
    label_set, positive: as stated by outcomes that slimgate wrote; else None.
    """

    shown: str
    names: ColumnNames
    columns: tuple[str, ...]
    ids: pa.Array
    by_id: Ints
    labels: pa.DictionaryArray
    predictions: pa.DictionaryArray | None
    groups: pa.Array | None
    digests: Ints | None
    probabilities: Floats | None
    classes: tuple[str, ...]
    label_set: tuple[str, ...] | None = None
    positive: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_numbered_classes(self) -> bool:
        """Whether the probabilities go by number (p_0, p_1 … or a list), and not by name."""
        return bool(self.classes) and self.classes == tuple(map(str, range(len(self.classes))))


def read_predictions(path: Path, names: ColumnNames) -> Predictions:
    """The predictions of a file. Raises SuiteError if there is no file, DataError for errors in it."""
    file = _make_row_file(path)
    shown = str(path)
    columns, texts, numbers, digests, stated = _read_columns(path, file, names)
    if not sum(map(len, texts["id"])):
        raise DataError(f"{shown} has no rows, expected at least one")
    flat = {
        role: (encode_blocks if role in CODED else pa.concat_arrays)(texts.pop(role)) for role in list(texts)
    }
    check_missing(shown, flat["id"], {names.find_column(role): column for role, column in flat.items()})
    order = check_ids(shown, flat["id"])
    classes = None if stated is None else stated.classes
    probability_names = _list_class_names(numbers, classes)
    probabilities = check_probabilities(shown, flat["id"], numbers) if numbers else None
    if classes is not None:
        for role in {"label", "prediction"} & flat.keys():
            flat[role] = _convert_class_indices(shown, names.find_column(role), flat[role], classes)
    pa.default_memory_pool().release_unused()  # frees the buffers of reading before the next file is read
    return Predictions(
        shown=shown,
        names=names,
        columns=tuple(columns),
        ids=flat["id"],
        by_id=order,
        labels=flat["label"],
        predictions=flat.get("prediction"),
        groups=flat.get("group"),
        digests=np.concatenate(digests) if digests else None,
        probabilities=probabilities,
        classes=probability_names,
        label_set=None if stated is None else stated.label_set,
        positive=None if stated is None else stated.positive,
    )


def _read_columns(path: Path, file: RowFile, names: ColumnNames) -> FileColumns:
    """Reads a file in its format. Raises DataError if that is impossible."""
    try:
        read = {"jsonl": read_jsonl, "parquet": _read_parquet}.get(file.format, _read_csv)
        return read(file, names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        ragged = _RAGGED.search(str(error)) if path.is_file() else None
        if ragged is not None and (line := _describe_ragged_line(path, *ragged.groups())):
            raise DataError(f"{path}: {line}") from error
        message = to_one_line(error)
        raise DataError(f"{path} cannot be read as {file.format}: {message[:300]}") from error


def _describe_ragged_line(path: Path, expected: str, actual: str, text: str) -> str | None:
    """The place of a line with another number of columns, and its likely cause; None if it is not found."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            shown = line.decode("utf-8", "replace").rstrip("\r\n")
            if shown and shown == text.rstrip("\r\n"):
                columns = "1 column" if actual == "1" else f"{actual} columns"
                if int(actual) > int(expected):
                    cause = "put a text that has the separator or a quote in double quotes"
                elif not line.endswith(b"\n"):
                    cause = "the line is incomplete: was the program that wrote it interrupted?"
                else:
                    cause = "a value or a separator is missing"
                return f"line {number:,} has {columns}, expected {expected} ({shown[:100]}); {cause}"
    return None


def _make_row_file(path: Path) -> RowFile:
    known = FORMATS.get(path.suffix.lower())
    require_file(path)
    refuse_utf_16(path)
    if known is None:
        actual = f'"{path.suffix}"' if path.suffix else "none"
        raise DataError(
            f"{path}: its extension is {actual}, expected one of {', '.join(FORMATS)}; for a log of "
            "another tool, name its reader with --format"
        )
    if not path.stat().st_size:
        raise DataError(f"{path} is empty, expected rows as {known}")
    return RowFile(path, known)


def _read_csv(file: RowFile, names: ColumnNames) -> FileColumns:
    columns = list(read_column_names(file))
    layout = find_columns(str(file.path), columns, names)
    if layout.nested is not None:
        raise DataError(
            f'{file.path}: column "{layout.nested}" of a {file.format} file: give one column per class, '
            "p_<class>"
        )
    kinds = dict.fromkeys([*layout.roles.values(), *layout.texts], TEXT)
    kinds.update(dict.fromkeys(layout.probabilities.values(), pa.float64()))
    with open_csv(file.path, file.format, layout.columns, kinds) as reader:
        return FileColumns(columns, *_read_blocks(reader, layout))


def _read_parquet(file: RowFile, names: ColumnNames) -> FileColumns:
    with open_parquet(file.path) as parquet:
        schema = parquet.schema_arrow
        layout = find_columns(str(file.path), schema.names, names)
        if not all(_is_text_or_number(schema.field(name).type) for name in layout.texts):
            layout = replace(layout, texts=())
        flat = [column for column in layout.columns if column != layout.nested]
        texts, numbers, digests = _read_blocks(parquet.iter_batches(ROWS_AT_ONCE, columns=flat), layout)
        if layout.nested is not None:  # read whole, because its lists must have the same length
            column = parquet.read(columns=[layout.nested])[layout.nested]
            unnested = _unnest(str(file.path), layout.nested, column)
            numbers = {name: values.chunks for name, values in unnested.items()}
    is_index = pa.types.is_integer(schema.field(layout.roles["label"]).type)
    stated = _read_stated_classes(str(file.path), schema.metadata or {}) if is_index else None
    return FileColumns(schema.names, texts, numbers, digests, stated)


def _is_text_or_number(kind: pa.DataType) -> bool:
    types = pa.types
    return any(test(kind) for test in (types.is_string, types.is_large_string, types.is_integer))


def _read_stated_classes(shown: str, metadata: Mapping[bytes, bytes]) -> StatedClasses | None:
    """The classes that slimgate wrote with its outcomes; None for another tool's file."""
    try:
        classes = parse_texts(metadata.get(b"slimgate.classes", b"[]"))
        strays = int(metadata.get(b"slimgate.strays", b"0"))
        positive = parse_texts(b"[" + metadata.get(b"slimgate.positive", b"") + b"]")
    except ValueError as error:
        raise DataError(
            f"{shown} has a wrong value of slimgate.classes, strays or positive in its metadata: {error}"
        ) from error
    if not classes:
        return None
    return StatedClasses(tuple(classes), tuple(classes[: len(classes) - strays]), next(iter(positive), None))


def _read_blocks(
    batches: Iterable[pa.RecordBatch], layout: Layout
) -> tuple[dict[str, list[pa.Array]], dict[str, list[pa.Array]], list[Ints]]:
    """`texts`, `probabilities` and `digests` of FileColumns.

    Whole floats become texts without ".0", because pandas turns integers with missing values into floats.
    """
    texts: dict[str, list[pa.Array]] = {role: [] for role in layout.roles}
    numbers: dict[str, list[pa.Array]] = {name: [] for name in layout.probabilities}
    digests: list[Ints] = []
    for batch in batches:
        if layout.texts:
            digests.append(digest_texts(*(batch.column(name).to_pylist() for name in layout.texts)))
        for role, column in layout.roles.items():
            values = batch.column(column)
            if pa.types.is_floating(values.type):  # NaN is how pandas writes a missing value
                values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
            text = pc.cast(values, TEXT)
            texts[role].append(text.dictionary_encode() if role in CODED else text)
        for name, column in layout.probabilities.items():
            numbers[name].append(pc.cast(batch.column(column), pa.float64()))
    return texts, numbers, digests


def _unnest(shown: str, name: str, column: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    """A column of lists or structs -> one column a class."""
    flat = column.combine_chunks()
    if pa.types.is_struct(flat.type):
        return {
            field.name: pa.chunked_array([flat.field(field.name)]).cast(pa.float64()) for field in flat.type
        }
    if not (
        pa.types.is_list(flat.type)
        or pa.types.is_large_list(flat.type)
        or pa.types.is_fixed_size_list(flat.type)
    ):
        raise DataError(
            f'{shown}: column "{name}" is of type {flat.type}, expected lists or structs of numbers'
        )
    sizes = pc.unique(pc.list_value_length(flat)).to_pylist()
    if flat.null_count or len(sizes) != 1:
        raise DataError(f'{shown}: column "{name}": lists of {sizes[:3]} numbers, expected one length')
    values = pc.list_flatten(flat).cast(pa.float64())
    return {str(k): pa.chunked_array([values[k :: sizes[0]]]) for k in range(sizes[0])}


def _convert_class_indices(
    shown: str, column: str, indices: pa.DictionaryArray, classes: tuple[str, ...]
) -> pa.DictionaryArray:
    """slimgate's own class indices -> class names."""
    at = pc.index_in(indices.dictionary, value_set=pa.array([str(k) for k in range(len(classes))], TEXT))
    if at.null_count:
        wrong = pc.filter(indices.dictionary, pc.is_null(at))[0].as_py()
        raise DataError(f"{shown}: {column} {wrong} is not a class index, expected 0 … {len(classes) - 1}")
    return pa.DictionaryArray.from_arrays(indices.indices, pc.take(pa.array(classes, TEXT), at))


def _list_class_names(numbers: Mapping[str, object], classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of the probabilities' classes. classes: those of numbered ones, if the file states them."""
    if classes is None:
        return tuple(numbers)
    known = {str(k): name for k, name in enumerate(classes)}
    return tuple(known.get(name, name) for name in numbers)
