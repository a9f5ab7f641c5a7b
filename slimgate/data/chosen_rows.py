"""Some rows of a table that lies in mapped files: only these are read into memory.

`Table.take` joins the chunks of a column of text first, all of them, which is the whole file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
# What is put in order at once: a column of strings holds 2 GiB at most, and is there twice meanwhile.
AT_ONCE_BYTES = 2**29


def chosen_rows(table: pa.Table, rows: Ints) -> pa.Table:
    """The rows at these positions, in this order."""
    columns = [_chosen(column, rows) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _chosen(column: pa.ChunkedArray, rows: Ints) -> pa.ChunkedArray:
    if column.num_chunks <= 1:
        return column.take(pa.array(rows))
    at_once = max(1, AT_ONCE_BYTES * len(column) // max(1, column.nbytes))
    pieces = [_piece(column, rows[start : start + at_once]) for start in range(0, len(rows), at_once)]
    return pa.chunked_array(pieces, column.type)


def _piece(column: pa.ChunkedArray, rows: Ints) -> pa.Array:
    """One pass over the chunks, in the order in which they lie in the file."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    found, start = [], 0
    for chunk, end, until in zip(column.chunks, ends, np.searchsorted(ordered, ends), strict=True):
        if until > start:
            found.append(chunk.take(pa.array(ordered[start:until] - (end - len(chunk)))))
        start = until
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return pa.concat_arrays(found).take(pa.array(back))
