"""The JSON Schema of a step in [[tune.space]]: a step whose options may be choices or ranges."""

from __future__ import annotations

from typing import Any

from slimgate.loading import known_plugins, load
from slimgate.suite.tune_tables import ChoiceTable, RangeTable

_PREFIX = "tune_"
_CHOICE, _RANGE = {"$ref": "#/$defs/ChoiceTable"}, {"$ref": "#/$defs/RangeTable"}


def tuned_step(definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema; what it refers to is added to the definitions, each under a name of its own."""
    definitions |= {
        "ChoiceTable": ChoiceTable.model_json_schema(),
        "RangeTable": RangeTable.model_json_schema(),
    }
    methods = {}
    for name in known_plugins("method"):
        own = load("method", name).Params.model_json_schema(ref_template=f"#/$defs/{_PREFIX}{{model}}")
        for inner, definition in own.pop("$defs", {}).items():
            definitions[_PREFIX + inner] = _with_choices(definition)
        definitions[f"{_PREFIX}method_{name}"] = _with_choices(own)
        methods[name] = {"anyOf": [{"$ref": f"#/$defs/{_PREFIX}method_{name}"}, _CHOICE]}
    step = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 2,
        "properties": {**methods, "optional": {"type": "boolean", "default": False}},
        "patternProperties": {"^[^:]+:[^:]+$": {}},
        "additionalProperties": False,
    }
    return {"anyOf": [step, _CHOICE_OF_STEPS]}


def _with_choices(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a table in which every option may be a choice, and every number a range."""
    properties = {
        key: {"anyOf": [option, _CHOICE, *([_RANGE] if _may_be_a_number(option) else [])]}
        for key, option in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _may_be_a_number(option: dict[str, Any]) -> bool:
    kinds = [option, *option.get("anyOf", ())]
    return any(kind.get("type") in ("number", "integer") for kind in kinds)


_CHOICE_OF_STEPS: dict[str, Any] = {
    "type": "object",
    "required": ["choices"],
    "properties": {"choices": {"type": "array", "minItems": 1}, "optional": {"type": "boolean"}},
    "additionalProperties": False,
}
