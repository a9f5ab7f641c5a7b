"""A column of few different texts, such as labels, as codes and the texts that they stand for.

Ten million labels are 40 MB as codes and 160 MB as Arrow text, with as much again for each copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.outcomes import Ints

TEXT = pa.large_string()


def encoded(blocks: Sequence[pa.Array]) -> pa.DictionaryArray:
    """Blocks of Arrow text, or of codes each of their own, as one column of codes."""
    chunks = [
        block if isinstance(block, pa.DictionaryArray) else block.dictionary_encode() for block in blocks
    ]
    kind = pa.dictionary(pa.int32(), TEXT)
    whole = pa.chunked_array(chunks, kind).unify_dictionaries().combine_chunks()
    # older pyarrow gives a chunked array for one without chunks
    if not isinstance(whole, pa.ChunkedArray):
        return whole
    return whole.chunk(0) if whole.num_chunks else pa.array([], kind)


def codes_of(column: pa.DictionaryArray, names: Sequence[str]) -> Ints:
    """(rows,) the place of each row's text among the names, which hold them all."""
    at = pc.index_in(column.dictionary, value_set=pa.array(names, TEXT))
    return np.asarray(at.take(column.indices).to_numpy(), dtype=np.int64)


def is_empty(column: pa.Array) -> pa.Array:
    """Whether each row has no text: null, or one of no letters."""
    if not isinstance(column, pa.DictionaryArray):
        return pc.fill_null(pc.equal(column, ""), True)
    found = pc.fill_null(pc.equal(column.dictionary, ""), True).take(column.indices)
    return pc.fill_null(found, True)


def differ(one: pa.Array, other: pa.Array) -> Ints:
    """Positions of the rows in which two columns of one kind hold other texts; none is missing."""
    if isinstance(one, pa.DictionaryArray) and isinstance(other, pa.DictionaryArray):
        theirs = pc.index_in(other.dictionary, value_set=one.dictionary)
        at = pc.fill_null(theirs, -1).take(other.indices)
        return np.flatnonzero(one.indices.to_numpy() != at.to_numpy())
    return np.flatnonzero(pc.not_equal(one, other).to_numpy(zero_copy_only=False))
