"""Makes the JSON Schema of a step in [[tune.space]], whose options may be choices or ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slimgate.plugins.loading import known_plugins, load
from slimgate.suite.tune_tables import ChoiceTable, RangeTable

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

_PREFIX = "tune_"
_CHOICE, _RANGE = {"$ref": "#/$defs/ChoiceTable"}, {"$ref": "#/$defs/RangeTable"}


def make_tuned_step_schema(definitions: Json) -> dict[str, Any]:
    """The schema. The schemas it refers to are added to `definitions`, each under its own name."""
    definitions |= {
        "ChoiceTable": ChoiceTable.model_json_schema(),
        "RangeTable": RangeTable.model_json_schema(),
    }
    steps = {}
    for name in known_plugins("step"):
        options = load("step", name).Params.model_json_schema(ref_template=f"#/$defs/{_PREFIX}{{model}}")
        for inner, definition in options.pop("$defs", {}).items():
            definitions[_PREFIX + inner] = _add_choices(definition)
        definitions[f"{_PREFIX}step_{name}"] = _add_choices(options)
        steps[name] = {"anyOf": [{"$ref": f"#/$defs/{_PREFIX}step_{name}"}, _CHOICE]}
    step = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 2,
        "properties": {**steps, "optional": {"type": "boolean", "default": False}},
        "patternProperties": {"^[^:]+:[^:]+$": {}},
        "additionalProperties": False,
    }
    return {"anyOf": [step, _CHOICE_OF_STEPS]}


def _add_choices(schema: Json) -> dict[str, Any]:
    """The same schema, in which every option may also be a choice, and every number a range."""
    properties = {
        key: {"anyOf": [option, _CHOICE, *([_RANGE] if _can_be_number(option) else [])]}
        for key, option in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _can_be_number(option: Json) -> bool:
    kinds = [option, *option.get("anyOf", ())]
    return any(kind.get("type") in ("number", "integer") for kind in kinds)


_CHOICE_OF_STEPS: dict[str, Any] = {
    "type": "object",
    "required": ["choices"],
    "properties": {"choices": {"type": "array", "minItems": 1}, "optional": {"type": "boolean"}},
    "additionalProperties": False,
}
