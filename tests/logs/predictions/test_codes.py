"""Rows by their ids, and columns of few words, against what hash tables and plain lists say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from slimgate.logs.predictions import codes
from slimgate.logs.predictions.codes import TEXT, encode_blocks, find_different, find_places, is_empty


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows take many steps."""
    monkeypatch.setattr(codes, "ROWS_AT_ONCE", 3)


def make_texts(*values: str | None) -> pa.Array:
    return pa.array(values, TEXT)


def test_rows_are_matched_as_a_hash_table_matches_them() -> None:
    rng = np.random.default_rng(0)
    ids = pa.array([f"row {k}" for k in rng.permutation(50)], TEXT)
    shuffled = ids.take(pa.array(rng.permutation(50)))
    matches = codes.match_ids(ids, codes.sort_by_id(ids), shuffled, codes.sort_by_id(shuffled))
    assert matches is not None
    assert matches.tolist() == pc.index_in(ids, value_set=shuffled).to_pylist()


def test_other_ids_or_fewer_are_not_matched() -> None:
    ids = make_texts("a", "b", "c", "d")
    for other in (make_texts("a", "b", "c", "e"), make_texts("a", "b", "c")):
        assert codes.match_ids(ids, codes.sort_by_id(ids), other, codes.sort_by_id(other)) is None


def test_ids_that_stand_twice_are_named_in_their_order() -> None:
    ids = make_texts("d", "b", "a", "b", "c", "d", "d")
    assert codes.find_duplicates(ids, codes.sort_by_id(ids)).to_pylist() == ["d", "b"]
    for unique in (
        make_texts("b", "a", "c"),
        make_texts("a", "b", "c", "d", "e"),
        make_texts("a"),
        make_texts(),
    ):
        assert codes.find_duplicates(unique, codes.sort_by_id(unique)).to_pylist() == []


def test_rows_in_order_are_not_sorted() -> None:
    assert codes.sort_by_id(make_texts("a", "b", "c", "d", "e")).tolist() == [0, 1, 2, 3, 4]
    assert codes.sort_by_id(make_texts("a", "b", "c", "e", "d")).tolist() == [0, 1, 2, 4, 3]


def test_blocks_of_words_become_one_column_of_codes() -> None:
    column = encode_blocks(
        [make_texts("x", "y"), make_texts("z", "x").dictionary_encode(), make_texts(None, "")]
    )
    assert column.to_pylist() == ["x", "y", "z", "x", None, ""]
    assert is_empty(column).to_pylist() == [False] * 4 + [True, True]
    assert is_empty(make_texts("x", None, "")).to_pylist() == [False, True, True]
    assert find_places(encode_blocks([make_texts("b", "a", "b")]), ["a", "b", "c"]).tolist() == [1, 0, 1]


def test_columns_of_words_differ_by_text_and_not_by_code() -> None:
    column, other = (
        encode_blocks([make_texts("x", "y", "x", "y")]),
        encode_blocks([make_texts("y", "y", "x", "z")]),
    )
    assert find_different(column, other).tolist() == [0, 3]
    assert find_different(make_texts("a", "b"), make_texts("a", "c")).tolist() == [1]
