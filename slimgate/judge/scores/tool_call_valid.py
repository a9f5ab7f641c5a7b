"""Tool call, valid: 1 if the answer has a call, and each call names a tool and fits its JSON Schema."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from slimgate.judge.scores._json_schema import (
    describe_problem,
    find_wrong_keys,
    is_valid,
    make_validator,
)
from slimgate.judge.scores.base import Score, check_for_score
from slimgate.judge.tool_calls import Untyped, read_calls, read_tools
from slimgate.plugins.params import Table

_CACHE_SIZE = 1024


class Params(Table):
    """tool_call_valid has no options."""


class ToolCallValid(Score[Params]):
    right_or_wrong = True
    needs_reference = False
    compares_with = "tools"

    def check(self, params: Params) -> None:
        """Raises MissingExtra without jsonschema."""
        check_for_score("jsonschema", "tool_call_valid")

    def check_reference(self, params: Params, reference: str) -> None:
        """Raises ValueError if the parameters of a tool are not a JSON Schema."""
        for tool in read_tools(reference):
            function = tool["function"]
            if problem := _describe_problem(json.dumps(function.get("parameters", {}))):
                raise ValueError(f'parameters of tool "{function["name"]}" are not a JSON Schema: {problem}')

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 if the answer is valid, else 0. reference: the row's tools."""
        calls = read_calls(answer)
        if not calls:
            return 0.0
        validators = _make_validators(reference or "")
        return float(all(_is_valid(validators.get(call.name), call.name, call.arguments) for call in calls))


score = ToolCallValid()


@lru_cache(maxsize=_CACHE_SIZE)
def _describe_problem(parameters: str) -> str | None:
    """Why a text is not a JSON Schema; None if it is. The check takes milliseconds, and rows share tools."""
    return describe_problem(json.loads(parameters), "tool_call_valid")


@lru_cache(maxsize=_CACHE_SIZE)
def _make_validators(tools: str) -> dict[str, Any]:
    """A validator of each tool's arguments, by the tool's name."""
    functions = [tool["function"] for tool in read_tools(tools)]
    return {
        function["name"]: make_validator(function.get("parameters", {}), "tool_call_valid")
        for function in functions
    }


def _is_valid(validator: Any, name: str, arguments: object) -> bool:
    if validator is None or not isinstance(arguments, dict):
        return False
    schema_name = f'the schema of tool "{name}"'
    if any(isinstance(value, Untyped) for value in arguments.values()):
        # a value without a type is the text if that fits the schema, else the text parsed as JSON
        wrong = find_wrong_keys(validator, arguments, schema_name, "tool_call_valid")
        arguments = {
            key: value.list_values()[-1] if isinstance(value, Untyped) and key in wrong else value
            for key, value in arguments.items()
        }
    return is_valid(validator, arguments, schema_name, "tool_call_valid")
