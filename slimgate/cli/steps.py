"""`slimgate steps`: the compression steps that a suite can name; `slimgate steps NAME`: one step."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.plugins.step import Step

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

    from slimgate.cli.option_tables import list_option_tables
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
