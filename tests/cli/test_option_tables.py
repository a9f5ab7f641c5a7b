"""Options told from a JSON Schema: names, kinds with their ranges, defaults, inner tables."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from slimgate.cli.steps import describe_kind, list_option_tables
from slimgate.plugins.params import Table


class Inner(Table):
    copies: int = Field(default=1, ge=1)


class Params(Table):
    share: float = Field(gt=0, lt=1)
    """Of the neurons,
    those that go."""
    scope: Literal["global", "layer"] = "global"
    block: tuple[int, int] | Literal["row"] = (1, 1)
    names: tuple[str, ...] = ("a", "b")
    limits: dict[str, float] | None = None
    augment: Inner | None = None
    further: tuple[Inner, ...] = ()


def test_options_have_kinds_ranges_and_defaults_as_in_toml() -> None:
    table, _ = list_option_tables(Params.model_json_schema())
    assert table.names == ()
    assert [(option.name, option.kind, option.default) for option in table.options] == [
        ("share", "number, > 0, < 1", "required"),
        ("scope", '"global" | "layer"', '"global"'),
        ("block", '[integer, integer] or "row"', "[1, 1]"),
        ("names", "array of string", '["a", "b"]'),
        ("limits", "table of number", "–"),
        ("augment", "table", "–"),
        ("further", "array of table", "[]"),
    ]
    assert table.options[0].about == "Of the neurons, those that go."


def test_a_table_that_two_options_hold_is_shown_once_for_both() -> None:
    _, inner = list_option_tables(Params.model_json_schema())
    assert inner.names == ("augment", "further")
    assert [(option.name, option.kind) for option in inner.options] == [("copies", "integer, >= 1")]


class Nested(Table):
    inner: Nested | None = None


def test_a_table_that_holds_its_own_kind_has_an_end() -> None:
    assert [table.names for table in list_option_tables(Nested.model_json_schema())] == [()]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [({}, "any"), ({"const": True}, "true"), ({"type": "object"}, "table"), ({"type": "array"}, "array")],
)
def test_what_says_little_is_reported_as_little(schema: dict[str, object], kind: str) -> None:
    assert describe_kind(schema, {}) == kind
