"""Calls as models and servers write them, their canonical form, equal arguments, and tools that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slimgate.judge.tool_calls import (
    ToolCall,
    format_calls,
    is_same_json,
    list_tool_names,
    read_calls,
    read_tools,
)

PARIS = ToolCall("weather", {"city": "Paris"})
ROME = ToolCall("weather", {"city": "Rome"})
CALL = '{"name": "weather", "arguments": {"city": "Paris"}}'
OTHER = '{"name": "weather", "arguments": {"city": "Rome"}}'
LLAMA = '{"name": "weather", "parameters": {"city": "Paris"}}'
OPENAI = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", [PARIS]),
        (f"I look.\n<tool_call>{CALL}</tool_call>\n<tool_call>{OTHER}</tool_call> Done.", [PARIS, ROME]),
        (f"<tool_call>{CALL}", [PARIS]),  # it ended without the closing tag
        (LLAMA, [PARIS]),
        (f"<|python_tag|>{LLAMA}", [PARIS]),
        (f"[TOOL_CALLS] [{CALL}, {OTHER}]", [PARIS, ROME]),
        (f"[TOOL_CALLS]{CALL}", [PARIS]),
        (f" {CALL}\n", [PARIS]),
        (f"[{CALL}, {OTHER}]", [PARIS, ROME]),
        (json.dumps([OPENAI]), [PARIS]),
        (f"<think>Perhaps {OTHER}?\n<tool_call></think>\n{CALL}", [PARIS]),
        ("[]", []),
        ("It is warm in Paris.", []),
        ("[1] It is warm.", []),
        ("", []),
        ("42", []),
        (f"Here it is: {CALL}", []),  # JSON that is not marked must be the whole answer
        (f"{CALL} Done.", None),
        (f"```json\n{CALL}\n```", []),
        (f"<tool_call>{CALL[:-1]}</tool_call>", None),
        (f"<tool_call>{CALL}</tool_call><tool_call>weather</tool_call>", None),
        (f"[TOOL_CALLS] {CALL} {OTHER}", None),
        ('{"city": "Paris"}', None),
        ('{"name": "weather"}', None),
        ('{"name": 3, "arguments": {}}', None),
        ('{"name": "weather", "argum', None),
        ('{"a":' * 100_000, None),
    ],
)
def test_calls_of_an_answer(answer: str, calls: list[ToolCall] | None) -> None:
    assert read_calls(answer) == calls


def test_calls_of_a_server_have_one_form() -> None:
    call: dict[str, Any] = {"name": "f", "arguments": '{"b": 1, "a": {"d": "é", "c": null}}'}
    text = '[{"name": "f", "arguments": {"a": {"c": null, "d": "é"}, "b": 1}}]'
    assert format_calls([{"id": "1", "type": "function", "function": call}]) == text
    assert format_calls(json.loads(text)) == text
    assert read_calls(text) == [ToolCall("f", {"a": {"c": None, "d": "é"}, "b": 1})]


@pytest.mark.parametrize("arguments", ['{"city": "Par', "", "Paris"])
def test_damaged_arguments_stay_as_they_are(arguments: str) -> None:
    text = format_calls([{"function": {"name": "weather", "arguments": arguments}}])
    assert read_calls(text) == [ToolCall("weather", arguments)]


def test_an_item_that_is_no_call_is_kept_and_not_read() -> None:
    assert format_calls([{"type": "custom"}]) == '[{"type": "custom"}]'
    assert read_calls('[{"type": "custom"}]') is None


def test_arguments_nested_too_deeply_are_one_line() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        format_calls([{"name": "f", "arguments": deep}])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"a": 1, "b": [2, {"c": None}]}, {"b": [2.0, {"c": None}], "a": 1.0}, True),
        (1, True, False),
        (0, False, False),
        ([1], [True], False),
        ("1", 1, False),
        (None, {}, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({}, [], False),
    ],
)
def test_arguments_are_equal_as_json(first: object, second: object, expected: bool) -> None:
    assert is_same_json(first, second) is expected
    assert is_same_json(second, first) is expected


def test_tools_are_a_list_or_its_text() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    assert read_tools(tools) == read_tools(json.dumps(tools)) == tools
    assert list_tool_names(tools) == ["f", "g"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[{", "not JSON .* expected a list of tools"),
        ("{}", r"'\{\}' was given, expected a list of tools"),
        (None, "nothing was given"),
        ([], "an empty list was given"),
        ([{"name": "f", "parameters": {}}], 'tool 1 has no function, expected {"type": "function"'),
        ([{"function": {"name": "f"}}, {"function": {"description": "d"}}], "tool 2 has no name"),
        ([{"function": {"name": ""}}], "tool 1 has no name"),
        ([{"function": {"name": "f", "parameters": "{}"}}], 'parameters of tool "f" are not an object'),
    ],
)
def test_tools_that_are_none_are_one_line(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        read_tools(value)
    assert "\n" not in str(raised.value)
