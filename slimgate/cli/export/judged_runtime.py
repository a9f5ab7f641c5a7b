"""The runtime that a model was judged in, and which of its options the lines of README.md do not set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slimgate._system.json_text import convert_to_tuples
from slimgate._system.toml import format_toml_value
from slimgate.cli.export.forms import Written
from slimgate.plugins.loading import find_form, load_plugins
from slimgate.suite.named_plugin import Plugin, SuiteRuntime
from slimgate.suite.suite import dump_params

if TYPE_CHECKING:
    from slimgate.plugins.base import Json


def read_judged_runtime(name: str, params: Mapping[str, Any]) -> SuiteRuntime | str:
    """The runtime with the options of a record, or why they are not known.

    name: a dotted path is not imported here; the suite of the run imports it.
    """
    runtime = load_plugins("runtime").get(name)
    if runtime is None:
        return f"it was judged in the runtime {name}, which is not known here"
    if runtime.Params.model_fields and not params:
        return f"the record does not contain the options of the runtime {name}; measure again"
    try:
        return Plugin(name, runtime, runtime.Params.model_validate(convert_to_tuples(dict(params))))
    except ValidationError:
        return f"the options in the record are not those of the runtime {name} that is installed here"


def set_judged_options(written: Written, judged: SuiteRuntime | str) -> Written:
    """`written`, whose lines then set the options that the model was judged with, if the form has them."""
    if isinstance(judged, str) or judged.name != written.runtime.name:
        return written
    options = find_form(written.form).options
    default = written.runtime.params
    update = {name: getattr(judged.params, name) for name in options}
    return replace(written, options=default.model_copy(update=update))


def describe_runtime(written: Written, judged: SuiteRuntime | str) -> str | None:
    """How the judged runtime differs from README.md's lines, as a clause. None if it does not differ.

    Example: `it was judged in the runtime compiled with precision = "bfloat16", and the lines of README.md
    compute without this option`
    """
    if isinstance(judged, str):
        return judged
    unset = _list_unset(written, judged)
    if judged.name == written.runtime.name and not unset:
        return None
    runtime = "" if judged.name == written.runtime.name else f" in the runtime {judged.name}"
    if not unset:
        return f"it was judged{runtime}"
    stated = ", ".join(f"{name} = {format_toml_value(value)}" for name, value in unset.items())
    options = "this option" if len(unset) == 1 else "these options"
    return f"it was judged{runtime} with {stated}, and the lines of README.md compute without {options}"


def _list_unset(written: Written, judged: SuiteRuntime) -> Json:
    """The options of the judged runtime that are not its defaults, and that the lines do not set."""
    stated: Json = dump_params(judged.params, exclude_defaults=True)
    if judged.name != written.runtime.name:
        return stated
    return {name: value for name, value in stated.items() if name not in find_form(written.form).options}
