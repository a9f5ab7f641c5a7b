"""Values as TOML: what is written is read as the same."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from slimgate._system.toml import format_toml_key, format_toml_value


@pytest.mark.parametrize(
    "value",
    [
        1e-05,
        2.34e-4,
        1e22,
        3,
        True,
        'a "b" \\ \n\x7f\x00 é 漢 😀',
        [],
        [[0], [0, 5]],
        {},
        {"a.b:c": {"with space": [1.0, {"x": "y"}]}, "": False},
    ],
    ids=repr,
)
def test_what_is_written_is_read_as_the_same(value: Any) -> None:
    parsed = tomllib.loads(f"{format_toml_key('a key')} = {format_toml_value(value)}")["a key"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_tables_and_tuples_are_on_one_line() -> None:
    assert format_toml_value({"a": (1, 2), "b.c": "x"}) == '{ a = [1, 2], "b.c" = "x" }'
