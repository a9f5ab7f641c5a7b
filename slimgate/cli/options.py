"""The options of a plug-in or of a suite's table, from the JSON Schema of its pydantic model.

for table in list_option_tables(step.Params.model_json_schema()):
    table.names, [(option.name, option.kind, option.default, option.about) for option in table.options]

It also finds the store of a command: its option, else SLIMGATE_STORE, else .slimgate.

And it adds the arguments for a run on the command line, and for a model of a run.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from slimgate._system.toml import format_toml_value

_RUN = "A run.json, or its folder, such as reports/latest/library_docs"
Schema = Mapping[str, Any]
NO_DEFAULT, REQUIRED = "–", "required"
# The largest seed of NumPy's older generators, which Optuna uses.
_MAX_SEED = 2**32 - 1
_BOUNDS = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))


def parse_points(text: str) -> float:
    """Parses percentage points of the command line. Raises argparse's error, with the expected form."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} was given, expected percentage points as a number, such as 2"
        ) from None


def parse_multiple(text: str) -> float:
    """Parses a multiple of the command line. Raises argparse's error, with the expected form."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} was given, expected a multiple above 0, such as 1.1 for 10 % more"
        )
    return value


def parse_seed(text: str) -> int:
    """Parses a seed of the command line. Raises argparse's error, with the expected form."""
    if not text.isdecimal() or int(text) > _MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected a whole number from 0 to {_MAX_SEED}")
    return int(text)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Adds the store, as `options.store`."""
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="Folder of the store (default: SLIMGATE_STORE, else .slimgate)",
    )


def choose_store_root(options: argparse.Namespace) -> Path:
    """The folder of the store, which may not exist."""
    return Path(options.store or os.environ.get("SLIMGATE_STORE") or ".slimgate")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds one run, as `options.record`."""
    parser.add_argument("record", type=Path, metavar="RUN", help=_RUN)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Adds one run or more, as `options.runs`."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=_RUN)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds a run and a model of it, as `options.record` and `options.variant`."""
    add_run(parser)
    parser.add_argument("variant", metavar="VARIANT", help="Name of a variant, or teacher")


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
    bounds = [f"{sign} {_number(schema[key])}" for key, sign in _BOUNDS if key in schema]
    return ", ".join([_describe_type(schema, definitions), *bounds])


def _number(bound: float) -> str:
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
    """The tables with keys of their own among a value's forms, or in an array of them."""
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
