"""`slimgate methods`: the compression steps that a suite can name; `slimgate methods NAME`: one of them."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_to(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("methods", help="list the compression steps, or tell all about one")
    parser.add_argument("name", nargs="?", help="a step, or your own as package.module:object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the list, or one method. Raises SuiteError for a name that is none."""
    sys.stdout.write(overview() if options.name is None else details(options.name))
    return 0


def overview() -> str:
    """A line a method."""
    from tabulate import tabulate

    from slimgate.loading import known, load

    rows = [(name, _summary(load("method", name))) for name in known("method")]
    return tabulate(rows, headers=["step", "what it does"]) + "\n"


def details(name: str) -> str:
    """What its file says of a method, its options with their defaults, and what it reads and promises."""
    from tabulate import tabulate

    from slimgate.loading import load

    method = load("method", name)
    parts = [
        _text(method),
        tabulate(_options(method), headers=["option", "value", "default"]) or "No options.",
    ]
    facts = {
        "starts from": ", ".join(sorted(method.takes)),
        "leaves": method.gives or "the same kind",
        "reads": ", ".join(method.reads) or "no rows",
        "asks for the teacher": "yes" if method.uses_teacher else "no",
        "another seed, another model": "yes" if method.stochastic else "no",
        "promises": ", ".join(getattr(method, "claims", ())) or "nothing",
    }
    if hasattr(method, "resolved"):
        facts = {"starts from": "what its steps start from; it leaves, reads and promises what they do"}
    parts.append(tabulate(facts.items(), tablefmt="plain"))
    return "\n\n".join(parts) + "\n"


def _text(method: Any) -> str:
    return (method.__doc__ or "It has no docstring.").strip()


def _summary(method: Any) -> str:
    return _text(method).split("\n\n")[0].replace("\n", " ")


def _options(method: Any) -> list[tuple[str, str, str]]:
    """(name, what it may be, default), read from the JSON Schema of its Params."""
    schema = method.Params.model_json_schema()
    required, definitions = schema.get("required", ()), schema.get("$defs", {})
    return [
        (name, _kind(of, definitions), "required" if name in required else _value(of.get("default")))
        for name, of in schema.get("properties", {}).items()
    ]


def _kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        return " or ".join(_kind(one, definitions) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " | ".join(map(_value, schema.get("enum", [schema.get("const")])))
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (
            ("minimum", ">="),
            ("exclusiveMinimum", ">"),
            ("maximum", "<="),
            ("exclusiveMaximum", "<"),
        )
        if key in schema
    ]
    return ", ".join([str(schema.get("type", "any")), *bounds])


def _value(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
