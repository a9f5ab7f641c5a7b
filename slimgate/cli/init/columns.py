"""What the columns of a table look like: texts, numbers, lists, short values that repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

Kind = Literal["text", "number", "flag", "list", "other"]


@dataclass(frozen=True)
class Column:
    """A column of the rows.

    kind: "number" also of strings that are all numbers, as csv has them; "flag" of true and false.
    distinct: of values that are not empty; missing: null and empty ones. mean_words: of a value's text.
    whole: every number is a whole one.
    """

    name: str
    rows: int
    kind: Kind
    distinct: int
    missing: int
    mean_words: float
    whole: bool = False

    @property
    def repeats(self) -> bool:
        """Whether few values stand for many rows, as labels do."""
        return 2 <= self.distinct <= min(1000, self.rows // 2)


def look_at(table: pa.Table) -> dict[str, Column]:
    """Every column by name, but for `id`, which numbers rows."""
    return {name: _column(name, table[name]) for name in table.column_names if name != "id"}


def texts_of(table: pa.Table, names: tuple[str, ...]) -> list[str]:
    """The texts of each row, side by side."""
    columns = [[_text(value) for value in table[name].to_pylist()] for name in names]
    return [" ".join(row) for row in zip(*columns, strict=True)]


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str("" if value is None else value)


def _column(name: str, column: pa.ChunkedArray) -> Column:
    values = column.to_pylist()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return Column(name, len(values), "list", 0, sum(value is None for value in values), 0.0)
    if not _readable(column.type):
        return Column(name, len(values), "other", 0, 0, 0.0)
    texts = [str(value) for value in values if value is not None and str(value).strip()]
    distinct = set(texts)
    numbers = [_number(text) for text in distinct]
    kind: Kind = "text"
    if pa.types.is_boolean(column.type):
        kind = "flag"
    elif distinct and None not in numbers:
        kind = "number"
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    whole = kind == "number" and all(number == int(number) for number in numbers if number is not None)
    return Column(name, len(values), kind, len(distinct), len(values) - len(texts), words, whole)


def _readable(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    return any(test(kind) for test in tests)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
