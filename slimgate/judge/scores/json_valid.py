"""JSON validity: 1 if the whole answer is JSON, and fits any given schema. Code fences are not JSON."""

from __future__ import annotations

from typing import Any

from slimgate._system.json_text import NOT_JSON, parse_strict
from slimgate.judge.scores._json_schema import describe_problem, is_valid, make_validator
from slimgate.judge.scores.base import Score
from slimgate.plugins.params import Table


class Params(Table):
    """Options of json_valid."""

    json_schema: dict[str, Any] | None = None
    """A JSON Schema that the answer must fit, as a table."""


class JsonValid(Score[Params]):
    right_or_wrong = True
    needs_reference = False

    def check(self, params: Params) -> None:
        """Raises ValueError if json_schema is not a JSON Schema."""
        if params.json_schema is None:
            return
        if problem := describe_problem(_replace_tuples(params.json_schema), "json_valid"):
            raise ValueError(f"json_schema is not a JSON Schema: {problem}")

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 if the answer is valid, else 0."""
        try:
            value = parse_strict(answer)
        except NOT_JSON:
            return 0.0
        if params.json_schema is None:
            return 1.0
        validator = make_validator(_replace_tuples(params.json_schema), "json_valid")
        return float(is_valid(validator, value, "json_schema", "json_valid"))


score = JsonValid()


def _replace_tuples(value: object) -> object:
    """The value with lists for tuples. A suite has tuples, which jsonschema does not take as arrays."""
    if isinstance(value, dict):
        return {key: _replace_tuples(inner) for key, inner in value.items()}
    return [_replace_tuples(inner) for inner in value] if isinstance(value, list | tuple) else value
