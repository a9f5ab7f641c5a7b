"""Texts as a record quotes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from slimgate.data.quoting import LONGEST_QUOTE, quote_row_texts, shorten
from slimgate.plugins.rows import Rows


def test_the_texts_of_the_rows_asked_for_are_in_their_order() -> None:
    rows = Rows(pa.table({"id": ["a", "b", "c"], "text": ["one", "two\n  lines", None]}))
    assert quote_row_texts(rows, ["text"], np.array([1, 0, 2])) == ["two lines", "one", ""]


def test_a_pair_gives_room_to_both() -> None:
    rows = Rows(pa.table({"id": ["a"], "first": ["x" * 500], "second": ["y" * 500]}))
    [text] = quote_row_texts(rows, ["first", "second"], [0])
    assert len(text) <= LONGEST_QUOTE
    assert text == "x" * 78 + "… | " + "y" * 77 + "…"


def test_a_short_text_of_a_pair_leaves_its_room_to_the_other() -> None:
    rows = Rows(pa.table({"id": ["a"], "first": ["x" * 500], "second": ["why?"]}))
    assert quote_row_texts(rows, ["first", "second"], [0]) == ["x" * 152 + "… | why?"]


def test_a_text_is_cut_with_an_ellipsis_and_a_short_one_is_whole() -> None:
    assert shorten("x" * 160, 160) == "x" * 160
    assert shorten("x" * 161, 160) == "x" * 159 + "…"


def test_of_messages_their_contents_are_quoted() -> None:
    messages = [{"role": "user", "content": "rain?"}, {"role": "assistant", "content": None}]
    rows = Rows(pa.table({"id": ["a"], "messages": [[*messages, {"role": "tool", "content": "no"}]]}))
    assert quote_row_texts(rows, ["messages"], [0]) == ["rain? no"]
