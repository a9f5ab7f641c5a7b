"""Compares and takes rows of tables that are larger than memory.

Texts are compared by keys, so that they need not be in memory. A key is a BLAKE2b digest of 128 bits, in two
parts. Two texts with the same key would take about 2^64 attempts to find. Keys joined by np.hstack are
the keys of pairs.

`select_table_rows` reads only the chosen rows of a mapped table into memory. `Table.take` would first join
all chunks of a text column, which is the full file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate.outcomes import Ints

Mask = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]

ROWS_AT_ONCE = 10_000
_BYTES = 16
# Size of a part that is reordered. A chunk of strings has at most 2 GB, and a part exists twice meanwhile.
BYTES_AT_ONCE = 2**29


def iterate_values(column: pa.ChunkedArray) -> Iterator[Any]:
    """The values in order; few of them are Python objects at the same time."""
    for values in iterate_value_lists(column):
        yield from values


def iterate_value_lists(column: pa.ChunkedArray) -> Iterator[list[Any]]:
    """The values in order, in lists."""
    for chunk in column.chunks:
        for start in range(0, len(chunk), ROWS_AT_ONCE):
            yield chunk.slice(start, ROWS_AT_ONCE).to_pylist()


def hash_texts(texts: Iterable[str]) -> Keys:
    """(rows, 2) a key for each text; keys are equal exactly if the texts are."""
    digests = bytearray()
    for text in texts:
        digests += hashlib.blake2b(text.encode(), digest_size=_BYTES).digest()
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def is_empty_text(keys: Keys) -> Mask:
    """(rows,) whether each key is that of the empty text."""
    empty: Mask = (keys == hash_texts([""])).all(axis=1)
    return empty


def number_keys(parts: Sequence[Keys]) -> list[Ints]:
    """A code for each key, from 0 in order of first appearance; equal keys of all parts have one code."""
    keys = np.concatenate(parts)
    order = np.lexsort(keys.T)  # stable: among equal keys the first row comes first
    starts = np.ones(len(keys), dtype=np.bool_)
    for column in keys.T if len(keys) else ():
        values = column[order]
        starts[1:] &= values[1:] == values[:-1]
    starts[1:] = ~starts[1:]
    firsts = order[starts]
    by_appearance = np.empty(len(firsts), np.int64)
    by_appearance[np.argsort(firsts)] = np.arange(len(firsts))
    codes = np.empty(len(keys), np.int64)
    codes[order] = by_appearance[np.cumsum(starts) - 1]
    return np.split(codes, np.cumsum([len(part) for part in parts])[:-1])


def find_duplicates(columns: Sequence[pa.ChunkedArray]) -> tuple[int, str | None]:
    """The number of strings that occur in more than one row of the columns, and the first such string."""
    codes = np.concatenate(number_keys([hash_texts(iterate_values(column)) for column in columns]))
    repeated = np.flatnonzero(np.bincount(codes) > 1)
    if not len(repeated):
        return 0, None
    row = int(np.argmax(codes == repeated[0]))
    values = pa.chunked_array([chunk for column in columns for chunk in column.chunks])
    return len(repeated), values[row].as_py()


def select_table_rows(table: pa.Table, rows: Ints) -> pa.Table:
    """The rows at these positions, in this order."""
    columns = [_take_rows(column, rows) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _take_rows(column: pa.ChunkedArray, rows: Ints) -> pa.ChunkedArray:
    if column.num_chunks <= 1:
        return column.take(pa.array(rows))
    at_once = max(1, BYTES_AT_ONCE * len(column) // max(1, column.nbytes))
    pieces = [
        _take_in_file_order(column, rows[start : start + at_once]) for start in range(0, len(rows), at_once)
    ]
    return pa.chunked_array(pieces, column.type)


def _take_in_file_order(column: pa.ChunkedArray, rows: Ints) -> pa.Array:
    """Takes the rows in one pass over the chunks, in the order of the file."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    pieces, start = [], 0
    for chunk, end, until in zip(column.chunks, ends, np.searchsorted(ordered, ends), strict=True):
        if until > start:
            pieces.append(chunk.take(pa.array(ordered[start:until] - (end - len(chunk)))))
        start = until
    positions = np.empty(len(rows), np.int64)
    positions[order] = np.arange(len(rows))
    return pa.concat_arrays(pieces).take(pa.array(positions))
