"""The options of a plug-in or of a suite's table, from the JSON Schema of its pydantic model.

for table in list_option_tables(step.Params.model_json_schema()):
    table.names, [(option.name, option.kind, option.default, option.about) for option in table.options]
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slimgate._system.toml import format_toml_value

Schema = Mapping[str, Any]
NO_DEFAULT, REQUIRED = "–", "required"
# A key of JSON Schema -> the sign of its bound.
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Option:
    """An option of a plug-in, as its page shows it.

    kind: the allowed values, with their range; default: in TOML, "required", or "–" for none.
    """

    name: str
    kind: str
    default: str
    about: str


@dataclass(frozen=True)
class OptionTable:
    """The options of a table. names: the options that hold it, as "augment"; empty for the first table."""

    names: tuple[str, ...]
    options: tuple[Option, ...]


def list_option_tables(schema: Schema) -> list[OptionTable]:
    """The table of a schema, followed by one for each table that its options hold."""
    definitions = schema.get("$defs", {})
    first, *inner = _list_tables("", _resolve(schema, definitions), definitions, ())
    names: dict[tuple[Option, ...], tuple[str, ...]] = {}
    for name, options in inner:
        names[options] = (*names.get(options, ()), name)
    return [OptionTable((), first[1]), *(OptionTable(scopes, options) for options, scopes in names.items())]


def _list_tables(
    name: str, schema: Schema, definitions: Schema, around: tuple[Schema, ...]
) -> Iterator[tuple[str, tuple[Option, ...]]]:
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    options = [
        Option(
            key,
            kind=describe_kind(of, definitions),
            default=_describe_default(key, of, required),
            about=str(of.get("description") or _resolve(of, definitions).get("description", "")),
        )
        for key, of in properties.items()
    ]
    yield name, tuple(options)
    for key, of in properties.items():
        for inner in _list_inner_tables(of, definitions):
            if not any(inner is outer for outer in (schema, *around)):  # a table may hold its own kind
                yield from _list_tables(f"{name}.{key}".lstrip("."), inner, definitions, (schema, *around))


def describe_kind(schema: Schema, definitions: Schema) -> str:
    """The allowed values: `number, > 0, < 1`, `"even" | "last" or array of integer`, `table`."""
    schema = _resolve(schema, definitions)
    if "anyOf" in schema:
        return " or ".join(
            describe_kind(option, definitions) for option in schema["anyOf"] if option.get("type") != "null"
        )
    if "enum" in schema or "const" in schema:
        return " | ".join(map(format_toml_value, schema.get("enum", [schema.get("const")])))
    bounds = [f"{sign} {_format_bound(schema[key])}" for key, sign in _BOUNDS.items() if key in schema]
    return ", ".join([_describe_type(schema, definitions), *bounds])


def _format_bound(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _describe_type(schema: Schema, definitions: Schema) -> str:
    named = str(schema.get("type", "any"))
    if named == "object":
        values = schema.get("additionalProperties")
        return f"table of {describe_kind(values, definitions)}" if isinstance(values, Mapping) else "table"
    if named == "array" and "prefixItems" in schema:
        return f"[{', '.join(describe_kind(item, definitions) for item in schema['prefixItems'])}]"
    if named == "array" and schema.get("items"):
        return f"array of {describe_kind(schema['items'], definitions)}"
    return named


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    definition: Schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    return definition


def _list_inner_tables(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """The tables with their own keys among a value's forms, or in an array of them."""
    schema = _resolve(schema, definitions)
    if schema.get("properties"):
        yield schema
    for inner in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        yield from _list_inner_tables(inner, definitions)


def _describe_default(name: str, schema: Schema, required: Collection[str]) -> str:
    if name in required:
        return REQUIRED
    value = schema.get("default")
    if isinstance(value, Mapping):  # TOML has no null
        value = {key: item for key, item in value.items() if item is not None}
    return NO_DEFAULT if value is None else format_toml_value(value)
