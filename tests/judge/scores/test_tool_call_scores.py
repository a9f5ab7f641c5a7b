"""The scores of tool calls: each near miss has its score, and a changed argument is seen by one of them."""

from __future__ import annotations

import json
import sys

import pytest

from slimgate.errors import MeasureError, MissingExtra
from slimgate.judge.scores import load_score

TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                    "required": ["city"],
                },
            },
        },
        {"type": "function", "function": {"name": "now"}},
    ]
)
EXPECTED = '{"name": "weather", "arguments": {"city": "Paris", "days": 3}}'
VALID, EXACT = load_score("tool_call_valid", {}), load_score("tool_call_exact", {})


def call(name: str = "weather", **arguments: object) -> str:
    return json.dumps({"name": name, "arguments": arguments})


RIGHT = call(city="Paris", days=3)


@pytest.mark.parametrize(
    ("answer", "valid", "exact"),
    [
        (RIGHT, 1, 1),
        (f"<tool_call>{RIGHT}</tool_call>", 1, 1),
        (f"[{RIGHT}]", 1, 1),
        (call(days=3.0, city="Paris"), 1, 1),  # the order of keys, and 3.0 for 3
        (call(city="Rome", days=3), 1, 0),  # an argument changed: the fault of a bad quantization
        (call(city="Paris"), 1, 0),  # an optional argument is missing
        (call(city="Paris", days=3, unit="C"), 1, 0),  # the schema allows more
        (call("now"), 1, 0),  # another tool of the row
        (call("whether", city="Paris", days=3), 0, 0),
        (call(days=3), 0, 0),
        ('{"name": "weather", "arguments": {"city": "Paris", "days": Infinity}}', 0, 0),  # not JSON
        ('[weather(city="Paris", days=3)]', 1, 1),
        ('[weather(**{"unit": "C"}, city="Paris", days=3)]', 0, 0),
        ('[weather(**more, city="Paris", days=3)]', 0, 0),
        (call(city="Paris", days="3"), 0, 0),
        (call(city="Paris", days=True), 0, 0),
        ('{"name": "weather", "arguments": ["Paris", 3]}', 0, 0),
        ('{"name": "weather", "arguments": "Paris"}', 0, 0),
        (f"[{RIGHT}, {RIGHT}]", 1, 0),  # an extra call
        (f"[{RIGHT}, {call('later')}]", 0, 0),
        (f"Here it is: {RIGHT}", 0, 0),
        (f"Here it is: <tool_call>{RIGHT}</tool_call>", 1, 1),
        (f"<tool_call>{RIGHT[:-1]}</tool_call>", 0, 0),
        ("It is warm in Paris.", 0, 0),
        ("", 0, 0),
    ],
)
def test_near_misses(answer: str, valid: int, exact: int) -> None:
    assert VALID.rate(answer, TOOLS) == valid
    assert EXACT.rate(answer, EXPECTED) == exact


def test_several_calls_are_compared_in_their_order() -> None:
    first, second = call(city="Paris"), call(city="Rome")
    assert EXACT.rate(f"[{first}, {second}]", f"[{first}, {second}]") == 1
    assert EXACT.rate(f"[{second}, {first}]", f"[{first}, {second}]") == 0
    assert EXACT.rate(first, f"[{first}, {second}]") == 0


def test_no_call_may_be_expected() -> None:
    assert EXACT.rate("It is warm.", "[]") == 1
    assert EXACT.rate(RIGHT, "[]") == 0
    assert EXACT.rate('{"name": "weather", "argum', "[]") == 0
    EXACT.check_reference("[]")


def test_a_reference_may_be_in_the_format_of_a_model() -> None:
    reference = f"<tool_call>{RIGHT}</tool_call>"
    EXACT.check_reference(reference)
    assert EXACT.rate(RIGHT, reference) == 1


@pytest.mark.parametrize("reference", ["Paris", '{"city": "Paris"}', '[{"name": "weather"}]'])
def test_a_reference_that_is_no_call_is_one_line(reference: str) -> None:
    with pytest.raises(ValueError, match="was given, expected a call"):
        EXACT.check_reference(reference)


def tools_of(parameters: object) -> str:
    return json.dumps([{"type": "function", "function": {"name": "f", "parameters": parameters}}])


def test_parameters_must_be_a_json_schema() -> None:
    VALID.check_reference(TOOLS)
    with pytest.raises(
        ValueError, match="parameters of tool \"f\" are not a JSON Schema: 'objekt' is not valid"
    ):
        VALID.check_reference(tools_of({"type": "objekt"}))


def test_a_schema_may_refer_to_itself() -> None:
    inner = {"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}
    assert VALID.rate(call("f", x=1), tools_of(inner)) == 1
    assert VALID.rate(call("f", x="1"), tools_of(inner)) == 0


def test_a_schema_outside_is_named_before_a_run() -> None:
    outside = tools_of({"properties": {"x": {"$ref": "http://127.0.0.1:9/schema.json"}}})
    with pytest.raises(
        ValueError, match=r'"f" are not a JSON Schema: \$ref = "http://127.0.0.1:9/schema.json"'
    ):
        VALID.check_reference(outside)
    with pytest.raises(
        MeasureError, match='the schema of tool "f" refers to a schema that it does not contain'
    ):
        VALID.rate(call("f", x=1), outside)


def test_arguments_nested_too_deeply_are_wrong() -> None:
    tree = tools_of({"properties": {"x": {"$ref": "#"}}, "required": ["x"]})
    deep = '{"x": ' * 400 + "{}" + "}" * 400
    assert VALID.rate(f'{{"name": "f", "arguments": {deep}}}', tree) == 0


def test_jsonschema_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(MissingExtra, match="score tool_call_valid needs an extra"):
        load_score("tool_call_valid", {})
    load_score("tool_call_exact", {})
