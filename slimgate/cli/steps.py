"""`slimgate steps`: the compression steps that a suite can name; `slimgate steps NAME`: one step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimgate._system.toml import format_toml_value

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.plugins.step import Step


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


_HEADERS = ("option", "value", "default", "what it is")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.add_argument("name", nargs="?", help="Name of a step, or your own step as package.module:object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the list, or one step. Raises SuiteError for an unknown name."""
    sys.stdout.write(format_overview() if options.name is None else format_details(options.name))
    return 0


def format_overview() -> str:
    """One line for each step."""
    from tabulate import tabulate

    from slimgate.plugins.loading import list_known_plugins, load

    rows = [(name, read_step_summary(load("step", name))) for name in list_known_plugins("step")]
    return tabulate(rows, headers=["step", "what it does"]) + "\n"


def format_details(name: str) -> str:
    """A step's description, its options with their defaults, and what it reads and promises."""
    from tabulate import tabulate

    from slimgate.plugins.loading import load, load_user_object

    step = load("step", name)
    # A user's function becomes a step, whose class has another docstring.
    parts = [read_step_text(load_user_object("step", name) if ":" in name else step)]
    schema = step.Params.model_json_schema()
    is_table = "properties" in schema or schema.get("type") == "object"
    for table in list_option_tables(schema):
        rows = [(option.name, option.kind, option.default, option.about) for option in table.options]
        examples = "".join(f"{name} = {{ … }}\n" for name in table.names)
        text = tabulate(rows, _HEADERS, disable_numparse=True, maxcolwidths=[None, 30, None, 60])
        without_options = "No options." if is_table else "Its value is written as above."
        parts.append(f"{examples}\n{text}".lstrip() if rows else without_options)
    parts.append(tabulate(describe_step_facts(step).items(), tablefmt="plain"))
    return "\n\n".join(parts) + "\n"


def describe_step_facts(step: Step[BaseModel]) -> dict[str, str]:
    """The step's input, its output, the splits that it reads and its promises, in words."""
    from slimgate.plugins.step import Step

    if type(step).resolve is not Step.resolve:
        return {"starts from": "this depends on its options, and so does what it leaves, reads and promises"}
    by_options = "" if type(step).also_reads is Step.also_reads else "; its options add others"
    return {
        "starts from": ", ".join(sorted(step.takes)),
        "leaves": step.gives or "the same kind",
        "reads": f"{', '.join(step.reads) or 'no rows'}{by_options}",
        "uses the teacher": "yes" if step.uses_teacher else "no",
        "depends on the seed": "yes" if step.stochastic else "no",
        "promises": ", ".join(step.claims) or "nothing",
    }


def read_step_text(step: Step[BaseModel]) -> str:
    """The docstring of a step, else that of its file."""
    from slimgate.plugins.loading import read_docstring

    return read_docstring(step) or "It has no docstring."


def read_step_summary(step: Step[BaseModel]) -> str:
    """The first sentence of the step's text."""
    return read_step_text(step).split("\n\n")[0].replace("\n", " ")
