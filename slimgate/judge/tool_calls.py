"""Tools and tool calls: what a call is, when two are equal, and the canonical form of calls.

The canonical form is a JSON list. Answers of a server with `tool_calls` become it:

    [{"name": "get_weather", "arguments": {"city": "Paris"}}]
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate._system.json_text import NOT_JSON, describe_json_error, parse_strict
from slimgate.plugins.base import Json

_TOOL_FORM = '{"type": "function", "function": {"name", "description", "parameters"}}'
# Values that Python writes into a text for true, false and null.
_CONSTANTS = {"True": True, "False": False, "None": None}


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool.

    arguments: an object in a call that is right, else any JSON value, or a text that is not JSON. The values
    of the object are Untyped if the format does not say whether they are texts.
    """

    name: str
    arguments: Any


class Untyped(str):
    """A value whose format does not say if it is a text: 42 is the number or the text."""

    def list_values(self) -> list[Any]:
        """The values that it may be: the text, and what the text is as JSON or as a constant of Python."""
        try:
            return [str(self), _CONSTANTS[self] if self in _CONSTANTS else parse_strict(self)]
        except NOT_JSON:
            return [str(self)]


def parse_call(value: object) -> ToolCall | None:
    """A call from {name, arguments} or {name, parameters}, possibly inside {function}; None for other values.

    Arguments that are a text are read as JSON, as servers send them. Command models write tool_name for name.
    """
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping):
        return None
    name = value.get("name", value.get("tool_name"))
    key = next((key for key in ("arguments", "parameters") if key in value), None)
    return ToolCall(name, _parse_arguments(value[key])) if isinstance(name, str) and key is not None else None


def _parse_arguments(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_strict(value)
    except NOT_JSON:
        return value


def format_calls(values: Sequence[object]) -> str:
    """The `tool_calls` of a server's answer in the canonical form, with the keys of arguments in order.

    An item that is no call stays as it is. Raises ValueError for arguments that are nested too deeply.
    """
    calls = [(parse_call(value), value) for value in values]
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
    """Whether two JSON values are equal: the order of keys does not count, and 1 is 1.0 but not true.

    An untyped value equals another value if it may be that value; two of them are equal as texts.
    """
    if isinstance(first, Untyped) != isinstance(second, Untyped):
        untyped, value = (first, second) if isinstance(first, Untyped) else (second, first)
        assert isinstance(untyped, Untyped)
        return any(is_same_json(possible, value) for possible in untyped.list_values())
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
            value = parse_strict(value)
        except NOT_JSON as error:
            problem = f"not JSON ({describe_json_error(error)})"
            raise ValueError(f"{problem}, expected a list of tools: [{_TOOL_FORM}]") from error
    if not isinstance(value, list) or not value:
        actual = "an empty list" if value == [] else "nothing" if value is None else f"{str(value)[:60]!r}"
        raise ValueError(f"{actual} was given, expected a list of tools: [{_TOOL_FORM}]")
    for number, tool in enumerate(value, 1):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise ValueError(f"tool {number} has no function, expected {_TOOL_FORM}")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise ValueError(f"tool {number} has no name, expected {_TOOL_FORM}")
        if not isinstance(function.get("parameters", {}), dict):
            raise ValueError(
                f'parameters of tool "{function["name"]}" are not an object, expected a JSON Schema'
            )
    return value


def list_tool_names(tools: Sequence[Json]) -> list[str]:
    """The names of a row's tools."""
    return [tool["function"]["name"] for tool in tools]
