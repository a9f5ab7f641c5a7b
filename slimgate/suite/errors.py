"""A validation error of pydantic as one line: file, table, key, what was given, what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from slimgate._system.toml import format_toml_key, format_value
from slimgate.errors import SuiteError, did_you_mean
from slimgate.plugins.params import VARIANT_NAME

Loc = Sequence[int | str]
# The types of pydantic's errors. The errors of slimgate's validators have other types.
PYDANTIC_TYPES = frozenset(get_args(ErrorType))

# Type of an error -> what was expected.
EXPECTED: dict[str, str] = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "tuple_type": "a list, in [ ]",
    "list_type": "a list, in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
}
# Type of an error -> the key of the bound in the error's `ctx`, and what was expected.
BOUNDS: dict[str, tuple[str, str]] = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "at most {}"),
    "too_short": ("min_length", "a list of {} or more"),
    "too_long": ("max_length", "a list of at most {}"),
    "string_too_short": ("min_length", "a text of {} or more characters"),
}
# Regular expression of a text -> the texts that match it, in words.
PATTERNS: dict[str, str] = {
    r"^[0-9a-f]{64}$": "64 hexadecimal digits, as sha256sum prints them",
    VARIANT_NAME: "a name of letters, digits and . _ - that begins with a letter or digit",
}

# The names of types that pydantic adds to the place of an error in a value of several types.
_TYPE_NAME = re.compile(
    r"(str|int|float|bool|dict|list|tuple|literal|constrained|function|nullable)([-\[].*)?"
)


def format_table_path(loc: Loc, data: object) -> str:
    """`[variants.int8] steps[0].int8_dynamic` for ("variants", "int8", "steps", 0, "int8_dynamic")."""
    tables: list[str] = []
    rest = list(loc)
    while rest and isinstance(rest[0], str) and isinstance(data, Mapping):
        value = data.get(rest[0])
        if not isinstance(value, Mapping):
            break
        tables.append(format_toml_key(rest.pop(0)))
        data = value
    key = ""
    for part in rest:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            key += f".{format_toml_key(part)}" if key else format_toml_key(part)
    return " ".join(part for part in (f"[{'.'.join(tables)}]" if tables else "", key) if part)


def make_suite_error(file: str, loc: Loc, data: object, problem: str) -> SuiteError:
    """`file [table] key: problem`, the form of every configuration error: one line."""
    where = format_table_path(loc, data)
    line = " ".join(problem.split())
    return SuiteError(f"{file} {where}: {line}" if where else f"{file}: {line}")


@dataclass(frozen=True)
class Place:
    """A key or a table of a suite: its keys and indices from the top, the whole suite, and its file."""

    loc: Loc
    data: object
    file: str

    def inside(self, *keys: str) -> Place:
        """The place of these keys below this one."""
        return replace(self, loc=(*self.loc, *keys))

    def make_error(self, problem: str) -> SuiteError:
        """The error that this place has a problem, as `make_suite_error` makes it."""
        return make_suite_error(self.file, self.loc, self.data, problem)


def convert_validation_error(error: ValidationError, file: str, data: object, prefix: Loc = ()) -> SuiteError:
    """The first problem of a pydantic error, in the suite's terms; the message counts the other problems."""
    problems = [(_find_place(detail, data, prefix), detail) for detail in error.errors(include_url=False)]
    first, _ = problems[0]
    # A value of several types has an error for each type. The deepest error is of the type that was meant.
    inside_first = [(place, detail) for place, detail in problems if place[: len(first)] == first]
    loc = max((place for place, _ in inside_first), key=len)
    details = [detail for place, detail in inside_first if place == loc]
    if details[0]["type"] == "missing" and len(loc) == 1:
        return make_suite_error(file, (), data, f"needs a table [{loc[0]}], which is missing")
    problem = _format_problem(details)
    if more := len({tuple(place) for place, _ in problems if place[: len(first)] != first}):
        problem += f" (and {more} more in this file)"
    return make_suite_error(file, loc, data, problem)


def _find_place(detail: ErrorDetails, data: object, prefix: Loc) -> list[int | str]:
    """The place of an error in the data, without pydantic's names for the types of a value."""
    loc = [*prefix, *(part for part in detail["loc"] if not str(part).startswith("["))]
    place: list[int | str] = []
    for number, part in enumerate(loc, 1):
        is_missing = detail["type"] == "missing" and number == len(loc)
        if is_missing or find_value(data, [*place, part]) is not None or not _TYPE_NAME.fullmatch(str(part)):
            place.append(part)
    return place


def find_value(data: Any, loc: Loc) -> Any:
    """The value at a place in nested tables; None if there is none."""
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _format_problem(details: Sequence[ErrorDetails]) -> str:
    """The problem with one value in words. details: an error for each of the types that it may have."""
    detail = details[0]
    kind, message = detail["type"], str(detail["msg"])
    if kind == "missing":
        return "missing, it must be given"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind not in PYDANTIC_TYPES:
        # If a message of slimgate only says what is expected, the value that was given is put before it.
        is_complete = not message.startswith("expected ") or isinstance(detail["input"], Mapping)
        return message if is_complete else f"{format_value(detail['input'])} was given, {message}"
    value = detail["input"]
    expected = dict.fromkeys(
        _format_expected(error["type"], str(error["msg"]), error.get("ctx", {}), value) for error in details
    )
    return f"{format_value(value)} was given, expected {' or '.join(expected)}"


def _suggest_literal(value: object, expected: str) -> str:
    """`. Did you mean Q4_0?` for a text that is nearly one of those expected; else nothing."""
    if not isinstance(value, str):
        return ""
    known = re.findall(r"'([^']*)'", expected)
    same = [name for name in known if name.casefold() == value.casefold()]
    return f". Did you mean {same[0]}?" if same else did_you_mean(value, known)


def _suggest_share(value: object, limit: object) -> str:
    """`; for 95 % write 0.95` if a percentage is given for a share that ends at 1; else nothing."""
    if limit != 1 or not isinstance(value, int | float) or not 10 <= value <= 100:
        return ""
    return f"; for {value:g} % write {value / 100:g}"


def _format_expected(kind: str, message: str, context: Mapping[str, Any], value: object) -> str:
    """What was expected of a value. kind, message, context: `type`, `msg` and `ctx` of pydantic's error."""
    if kind in BOUNDS:
        key, words = BOUNDS[kind]
        limit = context[key]
        if kind in ("too_short", "too_long") and isinstance(value, Mapping):
            words = words.replace("a list", "a table")
        hint = _suggest_share(value, limit) if key in ("lt", "le") and isinstance(limit, float) else ""
        return words.format(f"{limit:g}" if isinstance(limit, float) else limit) + hint
    if kind == "literal_error":
        return str(context["expected"]).replace("'", '"') + _suggest_literal(value, str(context["expected"]))
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"a text that matches {context['pattern']}")
    expected = re.sub(r"^(Input|String|Value) should (be |have )?(a valid )?", "", message)
    return EXPECTED.get(kind, expected)
