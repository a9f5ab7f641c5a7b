"""What json.loads accepts and later code cannot use: two values of a key, half of a surrogate pair."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from slimgate._system.json_text import NOT_JSON, describe_json_error, parse_json, parse_log_json, parse_strict

TEXTS = ['{"id": 1, "score": 0, "score": 1}', '[{"a": {"id": 1, "score": 0, "score": 1}}]']


@pytest.mark.parametrize("text", TEXTS, ids=["object", "nested"])
@pytest.mark.parametrize("parse", [parse_json, parse_log_json])
def test_a_key_with_two_values_is_refused(parse: Callable[[str | bytes], object], text: str) -> None:
    for content in (text, text.encode()):
        with pytest.raises(NOT_JSON) as raised:
            parse(content)
        assert describe_json_error(raised.value) == 'the key "score" is there twice, with different values'


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_named(name: str) -> None:
    with pytest.raises(NOT_JSON) as raised:
        parse_strict(f"[{name}]")
    assert describe_json_error(raised.value) == f"{name} is not JSON"


def test_a_key_that_repeats_its_value_is_accepted() -> None:
    assert parse_json('{"score": 1, "score": 1.0}') == {"score": 1}


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    value = {"a\ud83d": ["x\ude00 é", "\U0001f600"], "b": {"\ud83d": 1}}
    right = {"a\ufffd": ["x\ufffd é", "\U0001f600"], "b": {"\ufffd": 1}}
    escaped = json.dumps(value)
    raw = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    for content in (escaped, escaped.replace("ud83d", "uD83D"), raw):
        assert parse_log_json(content) == right
    assert parse_json(escaped) == value


@pytest.mark.parametrize("parse", [parse_json, parse_log_json])
def test_a_mark_of_utf_8_is_no_text(parse: Callable[[str | bytes], object]) -> None:
    assert parse(b'\xef\xbb\xbf{"a": "\\uD83D\\uDE00"}') == {"a": "\U0001f600"}
