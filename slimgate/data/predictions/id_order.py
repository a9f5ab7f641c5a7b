"""Rows by their ids, by sorting: which ids stand twice, and which row of one file is which of another.

A hash table of ten million ids takes a gigabyte, their order 80 MB; rows that stand in order cost no sorting.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.outcomes import Ints

_AT_ONCE = 500_000


def by_id(ids: pa.Array) -> Ints:
    """(rows,) positions of the rows in the order of their ids."""
    if all(pc.all(pc.less(one, after)).as_py() for one, after in _neighbours(ids)):
        return np.arange(len(ids))
    return np.asarray(pc.sort_indices(ids).to_numpy(), dtype=np.int64)


def standing_twice(ids: pa.Array, order: Ints) -> pa.Array:
    """The ids that more than one row has, in the order in which they come. order: as `by_id` has it."""
    found: list[Ints] = []
    for start in range(0, len(order) - 1, _AT_ONCE):
        rows = order[start : start + _AT_ONCE + 1]
        some = ids.take(pa.array(rows))
        same = pc.equal(some[:-1], some[1:]).to_numpy(zero_copy_only=False)
        found += [rows[:-1][same], rows[1:][same]]
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    return pc.unique(ids.take(pa.array(rows)))


def matched(ids: pa.Array, order: Ints, others: pa.Array, other_order: Ints) -> Ints | None:
    """(rows,) the row among the others that has the id of each row; None where the two hold other ids."""
    if len(ids) != len(others):
        return None
    for start in range(0, len(ids), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        if not ids.take(pa.array(order[part])).equals(others.take(pa.array(other_order[part]))):
            return None
    found = np.empty(len(ids), np.int64)
    found[order] = other_order
    return found


def _neighbours(ids: pa.Array) -> Iterator[tuple[pa.Array, pa.Array]]:
    for start in range(0, len(ids) - 1, _AT_ONCE):
        part = ids[start : start + _AT_ONCE + 1]
        yield part[:-1], part[1:]
