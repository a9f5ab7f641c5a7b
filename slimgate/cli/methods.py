"""`slimgate methods`: the compression steps that a suite can name; `slimgate methods NAME`: one of them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from slimgate.loading import text_of
from slimgate.protocols import Step

_HEADERS = ("option", "value", "default", "what it is")


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

    from slimgate.loading import known_plugins, load

    rows = [(name, method_summary(load("method", name))) for name in known_plugins("method")]
    return tabulate(rows, headers=["step", "what it does"]) + "\n"


def details(name: str) -> str:
    """What its file says of a method, its options with their defaults, and what it reads and promises."""
    from tabulate import tabulate

    from slimgate.cli.options import option_tables
    from slimgate.loading import load, own_object

    method = load("method", name)
    # a function of one's own becomes a method, which has a docstring of its own
    parts = [method_text(own_object("method", name) if ":" in name else method)]
    schema = method.Params.model_json_schema()
    is_table = "properties" in schema or schema.get("type") == "object"
    for table in option_tables(schema):
        rows = [(option.name, option.kind, option.default, option.about) for option in table.options]
        named = "".join(f"{name} = {{ … }}\n" for name in table.names)
        told = tabulate(rows, _HEADERS, disable_numparse=True, maxcolwidths=[None, 30, None, 60])
        none = "No options." if is_table else "Its value is written as above."
        parts.append(f"{named}\n{told}".lstrip() if rows else none)
    parts.append(tabulate(method_facts(method).items(), tablefmt="plain"))
    return "\n\n".join(parts) + "\n"


def method_facts(method: Any) -> dict[str, str]:
    """What it starts from, leaves, reads and promises, in words."""
    if type(method).resolve is not Step.resolve:
        return {"starts from": "that depends on its options, as do what it leaves, reads and promises"}
    return {
        "starts from": ", ".join(sorted(method.takes)),
        "leaves": method.gives or "the same kind",
        "reads": ", ".join(method.reads) or "no rows",
        "asks for the teacher": "yes" if method.uses_teacher else "no",
        "another seed, another model": "yes" if method.stochastic else "no",
        "promises": ", ".join(method.claims) or "nothing",
    }


def method_text(method: Any) -> str:
    """What its docstring says of it, else that of its file."""
    return text_of(method) or "It has no docstring."


def method_summary(method: Any) -> str:
    """The first sentence of that."""
    return method_text(method).split("\n\n")[0].replace("\n", " ")
