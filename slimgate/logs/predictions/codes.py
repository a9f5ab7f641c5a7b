"""Columns of labels as codes, and rows by their ids, both in little memory.

A column with few different texts is stored as a code for each row and the texts of the codes. Ten million
labels take 40 MB as codes, and 160 MB as Arrow text.

Rows are matched by sorting their ids: which ids occur twice, and which row of one file is which row of
another. A hash table of ten million ids takes a gigabyte, their order 80 MB. Rows that are already in order
are not sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.outcomes import Ints

TEXT = pa.large_string()
# Rows of a column that are copied at once: copies of millions of rows take memory.
ROWS_AT_ONCE = 500_000
# Ids only name rows in messages, so the beginning of a long id is enough. A short id is kept in 16 bytes,
# whereas text of a fixed width takes 4 bytes a character.
LONGEST_ID = 64
SHOWN_ID = np.dtypes.StringDType()
# Groups that make the variance of a mean larger by at most this share are ignored: a budget that passes
# wrongly in 5 % of runs passes in 5.2 %, and independent rows have the more powerful test.
_NEGLIGIBLE = 0.02


def encode_blocks(blocks: Sequence[pa.Array]) -> pa.DictionaryArray:
    """Joins blocks into one column of codes. A block is Arrow text, or has its own codes."""
    chunks = [
        block if isinstance(block, pa.DictionaryArray) else block.dictionary_encode() for block in blocks
    ]
    kind = pa.dictionary(pa.int32(), TEXT)
    column = pa.chunked_array(chunks, kind).unify_dictionaries().combine_chunks()
    # older pyarrow gives a chunked array for one without chunks
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks else pa.array([], kind)


def list_distinct(column: pa.Array | None) -> set[str]:
    """The different texts of a column; empty for None."""
    return set() if column is None else set(pc.unique(column).to_pylist())


def find_places(column: pa.DictionaryArray, names: Sequence[str]) -> Ints:
    """(rows,) the position of each row's text in `names`, which has all texts."""
    at = pc.index_in(column.dictionary, value_set=pa.array(names, TEXT))
    return np.asarray(at.take(column.indices).to_numpy(), dtype=np.int64)


def is_empty(column: pa.Array) -> pa.Array:
    """Whether each row has no text: null, or an empty one."""
    if not isinstance(column, pa.DictionaryArray):
        return pc.fill_null(pc.equal(column, ""), True)
    is_blank = pc.fill_null(pc.equal(column.dictionary, ""), True).take(column.indices)
    return pc.fill_null(is_blank, True)


def find_different(first: pa.Array, other: pa.Array) -> Ints:
    """Positions of the rows in which two columns differ. Both have the same type and no missing text."""
    if isinstance(first, pa.DictionaryArray) and isinstance(other, pa.DictionaryArray):
        theirs = pc.index_in(other.dictionary, value_set=first.dictionary)
        at = pc.fill_null(theirs, -1).take(other.indices)
        return np.flatnonzero(first.indices.to_numpy() != at.to_numpy())
    return np.flatnonzero(pc.not_equal(first, other).to_numpy(zero_copy_only=False))


def sort_by_id(ids: pa.Array) -> Ints:
    """(rows,) the positions of the rows, sorted by their ids."""
    parts = (ids[start : start + ROWS_AT_ONCE + 1] for start in range(0, len(ids) - 1, ROWS_AT_ONCE))
    if all(pc.all(pc.less(part[:-1], part[1:])).as_py() for part in parts):
        return np.arange(len(ids))
    return np.asarray(pc.sort_indices(ids).to_numpy(), dtype=np.int64)


def take_rows(values: pa.Array, rows: Ints) -> pa.Array:
    """The values at some positions.

    `pa.array` of a numpy array asks numpy.ma whether it is masked: that import takes 0.02 s of CPU.
    """
    positions = np.ascontiguousarray(rows, np.int64)
    return values.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(positions)]))


def find_ids(ids: pa.Array, other_ids: pa.Array) -> Ints:
    """(ids,) the row of each id in another file; -1 if that lacks it."""
    rows: Ints = pc.fill_null(pc.index_in(ids, value_set=other_ids), -1).to_numpy().astype(np.int64)
    return rows


def list_missing(ids: pa.Array, other_ids: pa.Array) -> pa.Array:
    """The ids that another file lacks."""
    return ids.filter(pc.is_null(pc.index_in(ids, value_set=other_ids)))


def find_duplicates(ids: pa.Array, order: Ints) -> pa.Array:
    """The ids that several rows have, in order of first appearance. order: that of `sort_by_id`."""
    pairs_of_rows: list[Ints] = []
    for start in range(0, len(order) - 1, ROWS_AT_ONCE):
        rows = order[start : start + ROWS_AT_ONCE + 1]
        some = take_rows(ids, rows)
        same = pc.equal(some[:-1], some[1:]).to_numpy(zero_copy_only=False)
        pairs_of_rows += [rows[:-1][same], rows[1:][same]]
    if not any(map(len, pairs_of_rows)):
        return ids[:0]
    return pc.unique(take_rows(ids, np.unique(np.concatenate(pairs_of_rows))))


def find_id_spellings(ids: pa.Array) -> pa.Array:
    """The ids that are another id with blanks at the ends or in another Unicode form, with that other id.

    Two such rows would count as independent. Ids that differ in case only may be of different samples.
    """
    odd = ids[:0]
    for start in range(0, len(ids), ROWS_AT_ONCE):
        part = ids[start : start + ROWS_AT_ONCE]
        odd = pa.concat_arrays([odd, part.filter(pc.not_equal(_normalize_ids(part), part))])
    if not len(odd):
        return odd
    plain = _normalize_ids(odd)
    counts = pc.value_counts(plain)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    is_other = pc.or_(pc.is_in(plain, value_set=ids), pc.is_in(plain, value_set=twice))
    shared = plain.filter(is_other)
    return pc.unique(pa.concat_arrays([odd.filter(is_other), shared.filter(pc.is_in(shared, value_set=ids))]))


def _normalize_ids(ids: pa.Array) -> pa.Array:
    return pc.utf8_normalize(pc.utf8_trim_whitespace(ids), form="NFC")


def match_ids(ids: pa.Array, order: Ints, other_ids: pa.Array, other_order: Ints) -> Ints | None:
    """(rows,) for each row, the other file's row with its id; None if the two files have different ids."""
    if len(ids) != len(other_ids):
        return None
    for start in range(0, len(ids), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        if not take_rows(ids, order[part]).equals(take_rows(other_ids, other_order[part])):
            return None
    places = np.empty(len(ids), np.int64)
    places[order] = other_order
    return places


def digest_text(text: str) -> int:
    """48 bits that are the same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big")


def digest_texts(*columns: Iterable[object]) -> Ints:
    """(rows,) a digest of the text or whole number in each column; -1 for a row in which all are blank.

    A value of any other type counts as blank.
    """
    rows = (
        [str(value).strip() if isinstance(value, str | int) else "" for value in values]
        for values in zip(*columns, strict=True)
    )
    return np.array([digest_text("\0".join(texts)) if any(texts) else -1 for texts in rows], np.int64)


def group_equal(digests: Ints) -> Ints | None:
    """(rows,) from 0: equal for rows with the same digest; None if no two rows have the same.

    A row with a negative digest is a group of its own.
    """
    return number_groups(np.where(digests < 0, -1 - np.arange(len(digests)), digests))


def number_groups(codes: Ints) -> Ints | None:
    """(rows,) the codes as numbers from 0; None if no two rows have the same code."""
    values, numbers = np.unique(codes, return_inverse=True)
    return None if len(values) == len(codes) else numbers


def drop_negligible_groups(groups: Ints | None) -> Ints | None:
    """The groups; None if they are so few or so small that rows are nearly independent."""
    if groups is None:
        return None
    sizes = np.bincount(groups)
    return None if (sizes**2).sum() <= (1 + _NEGLIGIBLE) * len(groups) else groups
