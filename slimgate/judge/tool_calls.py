"""Tools and tool calls: reads them from the answers of people and models, and compares and writes them.

The canonical form of calls is a JSON list. Answers of a server with `tool_calls` become it:

    [{"name": "get_weather", "arguments": {"city": "Paris"}}]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate._system.json_text import NOT_JSON, describe_json_error
from slimgate.plugins.base import Json

_A_TOOL = '{"type": "function", "function": {"name", "description", "parameters"}}'
# The markers before calls in the formats of Hermes and Qwen, of Mistral, and of Llama 3.1.
_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_MARK = re.compile(r"\[TOOL_CALLS\]|<\|python_tag\|>")
_END_OF_THOUGHT = "</think>"
_JSON_OBJECTS = re.compile(r"\[?\s*\{")


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool.

    arguments: an object in a call that is right, else any JSON value, or a text that is not JSON.
    """

    name: str
    arguments: Any


def read_calls(answer: str) -> list[ToolCall] | None:
    """The calls in an answer, in their order.

    They are in <tool_call> blocks, or follow [TOOL_CALLS] or <|python_tag|>, after any text. Otherwise the
    whole answer has to be JSON. Text up to </think> does not count.

    Args:
        answer: as a model writes it, or in the canonical form.

    Returns:
        The calls, none for plain text; None if the answer begins a call that cannot be read.
    """
    text = answer.rpartition(_END_OF_THOUGHT)[2].strip()
    if blocks := _BLOCK.findall(text):
        calls_of_blocks = [_parse_calls(block) for block in blocks]
        return (
            None if None in calls_of_blocks else [call for calls in calls_of_blocks for call in calls or ()]
        )
    if mark := _MARK.search(text):
        return _parse_calls(text[mark.end() :])
    calls = _parse_calls(text)
    return [] if calls is None and not _JSON_OBJECTS.match(text) else calls


def _parse_calls(text: str) -> list[ToolCall] | None:
    """The calls of a JSON object, or of a list of them; None for anything else."""
    try:
        value = json.loads(text)
    except NOT_JSON:
        return None
    items = value if isinstance(value, list) else [value]
    calls = [call for call in map(to_call, items) if call is not None]
    return calls if len(calls) == len(items) else None


def to_call(value: object) -> ToolCall | None:
    """A call from {name, arguments} or {name, parameters}, possibly inside {function}; None for other values.

    Arguments that are a text are read as JSON, as servers send them.
    """
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return None
    key = next((key for key in ("arguments", "parameters") if key in value), None)
    return None if key is None else ToolCall(value["name"], _parse_arguments(value[key]))


def _parse_arguments(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except NOT_JSON:
        return value


def write_calls(values: Sequence[object]) -> str:
    """The `tool_calls` of a server's answer in the canonical form, with the keys of arguments in order.

    An item that is no call stays as it is. Raises ValueError for arguments that are nested too deeply.
    """
    calls = [(to_call(value), value) for value in values]
    try:
        items = [
            value
            if call is None
            else {"name": call.name, "arguments": json.loads(json.dumps(call.arguments, sort_keys=True))}
            for call, value in calls
        ]
        return json.dumps(items, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError(describe_json_error(error)) from error


def is_same_json(first: object, second: object) -> bool:
    """Whether two JSON values are equal: the order of keys does not count, and 1 is 1.0 but not true."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(is_same_json(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same_json, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and first == second


def read_tools(value: object) -> list[Json]:
    """The tools of a row.

    Args:
        value: a list of OpenAI's tools, or the JSON text of one.

    Returns:
        The list. Each tool has a function with a name; its parameters are an object, if it has any.

    Raises:
        ValueError: if it is anything else, in one line.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except NOT_JSON as error:
            problem = f"not JSON ({describe_json_error(error)})"
            raise ValueError(f"{problem}, expected a list of tools: [{_A_TOOL}]") from error
    if not isinstance(value, list) or not value:
        actual = "an empty list" if value == [] else "nothing" if value is None else f"{str(value)[:60]!r}"
        raise ValueError(f"{actual} was given, expected a list of tools: [{_A_TOOL}]")
    for number, tool in enumerate(value, 1):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise ValueError(f"tool {number} has no function, expected {_A_TOOL}")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise ValueError(f"tool {number} has no name, expected {_A_TOOL}")
        if not isinstance(function.get("parameters", {}), dict):
            raise ValueError(
                f'parameters of tool "{function["name"]}" are not an object, expected a JSON Schema'
            )
    return value


def list_tool_names(tools: Sequence[Json]) -> list[str]:
    """The names of a row's tools."""
    return [tool["function"]["name"] for tool in tools]
