"""A field of the samples of a log, by which they are sliced: a category, a language, the prompt's length."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite

import numpy as np

from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text
from slimgate.outcomes import Ints
from slimgate.plugins.reader import Row, TaskLog

# A field of every log with prompts: the characters of the prompt.
PROMPT_LENGTH = "prompt_length"
# Rows that are read to list the fields of a log.
_LOOKED_AT = 200
_LONGEST = 60
_ABSENT = -1
# A number, a text, or a list of texts if a sample has several.
Value = float | str | tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Field:
    """A field of the samples of a task. codes: (rows,) the place in `values`, -1 if absent."""

    codes: Ints
    values: Sequence[Value]


@dataclass
class FieldColumn:
    """The values so far while rows are read. shown: file and task, for messages."""

    name: str
    shown: str
    codes: array[int] = field(default_factory=lambda: array("q"))
    places: dict[Value, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Adds a row. Raises DataError for a value by which no sample can be sliced."""
        value = _read_value(row, self.name, self.shown)
        self.codes.append(_ABSENT if value is None else self.places.setdefault(value, len(self.places)))

    def finish(self) -> Field:
        """The column. Texts that are all numbers, as in a csv, are numbers, unless two are one fraction."""
        values: list[Value] = [*self.places]
        numbers = [_parse_number(value) for value in values]
        known = [number for number in numbers if number is not None]
        fractions = [number for number in known if not number.is_integer()]
        # the sections 1.1 and 1.10 are two texts, and 2 and 2.0 are one number
        are_numbers = len(known) == len(values) and len(set(fractions)) == len(fractions)
        return Field(
            np.frombuffer(self.codes, np.int64), known if are_numbers else [*map(_format_if_number, values)]
        )


def find_field(fields: Mapping[str, object], name: str) -> object:
    """The value of a field; `metadata.language` is a key of a table, and `language` too if no other is."""
    if name in fields:
        return fields[name]
    first, dot, rest = name.partition(".")
    if dot and isinstance(inner := fields.get(first), Mapping):
        return find_field(inner, rest)
    inner_values = [inner[name] for inner in fields.values() if isinstance(inner, Mapping) and name in inner]
    return inner_values[0] if len(inner_values) == 1 else None


def _read_value(row: Row, name: str, shown: str) -> Value | None:
    value = None if row.fields is None else find_field(row.fields, name)
    if value is None and name == PROMPT_LENGTH and row.prompt is not None:
        return float(len(row.prompt))
    if isinstance(value, Mapping):
        keys = ", ".join(f"{name}.{key}" for key in islice(value, 5))
        raise DataError(
            f"{shown}: --slice {name}: the field is a table in sample {row.id}; name one of its keys ({keys})"
        )
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(text for item in value if (text := convert_to_text(item)))) or None
    if isinstance(value, bool) or value is None:
        return convert_to_text(value)
    if isinstance(value, int | float):
        return float(value) if isfinite(value) else None
    return convert_to_text(value) or None


def _parse_number(value: Value) -> float | None:
    if isinstance(value, tuple):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _format_if_number(value: Value) -> Value:
    return f"{value:.15g}" if isinstance(value, float) else value


def list_fields(tasks: Iterable[TaskLog]) -> list[str]:
    """The names of fields of the first samples of each task, those in tables as `metadata.language`."""
    names: dict[str, None] = {}
    for task in tasks:
        for row in islice(task.rows(), _LOOKED_AT):
            names |= dict.fromkeys(_list_names(row.fields or {}))
            if row.prompt is not None:
                names[PROMPT_LENGTH] = None
    return [*names]


def _list_names(fields: Mapping[str, object], before: str = "") -> Iterable[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _list_names(value, f"{before}{name}.")
        elif value not in (None, "") and not (isinstance(value, str) and len(value) > _LONGEST):
            yield f"{before}{name}"
