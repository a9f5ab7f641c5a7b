"""Rows of a csv or tsv that a double quote joined, because the quote is a part of a text.

A value that begins with a double quote ends at the next one, maybe on another line. If a program writes
texts without quoting them, the text `"so good` takes all rows up to the next quote into its value, or all
other rows of the file. Without a check, these rows would not be judged, and nothing would show it.

A line is a row if it has as many values as the header, and if all of them suit their columns: a number in a
column of numbers, and a known value in a column whose values repeat, such as labels. Rows were joined if the
first line of a value and another one are rows. The last line of a text that has several lines may look like a
row alone: `the end",pos`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from slimgate.errors import DataError

_LONGEST = 2**24  # characters
_HINT = 'write a text that has a double quote as "so ""good""", or write the rows as jsonl'
# Without blanks around it: in a sentence, a number follows a blank.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# The values of a line, once with quotes as characters and once with quotes as quotes.
_Splits = list[list[str]]


class _Record(NamedTuple):
    """A row as csv reads it. first: the number of its first line. lines: as they are in the file."""

    first: int
    lines: list[str]
    values: list[str]


@dataclass
class _Column:
    """The values of a column in the rows that have one line."""

    count: int = 0
    values: set[str] = field(default_factory=set)
    has_numbers: bool = True

    def add(self, value: str) -> None:
        self.count += 1
        self.values.add(value)
        self.has_numbers = self.has_numbers and _NUMBER.fullmatch(value) is not None

    @property
    def is_known(self) -> bool:
        """Whether its values are numbers, or repeat."""
        return self.has_numbers or 2 * len(self.values) <= self.count

    def suits(self, value: str) -> bool:
        """Whether a value may be one of the column. A text with a quote may: other rows need not have it."""
        if self.has_numbers:
            return _NUMBER.fullmatch(value) is not None
        return '"' in value or value in self.values


def refuse_joined_rows(
    path: Path, separator: str, *, shown: Path | None = None, hint: str = _HINT, longest: int = _LONGEST
) -> None:
    """Raises DataError if a value of a csv holds further rows.

    shown: the file, for the message, if `path` is a copy of it. hint: what to do. longest: the most
    characters of a value.
    """
    shown = shown or path
    if not _has_open_value(path, separator):
        return
    before = csv.field_size_limit(longest)
    try:
        place = _find_joined_row(path, separator)
    except csv.Error as error:
        raise DataError(f"{shown} cannot be read as csv: {error}") from error
    finally:
        csv.field_size_limit(before)
    if place is not None:
        first, line = place
        raise DataError(
            f"{shown}: line {line:,} is a row, but it is inside a value that begins with a double quote in "
            f"line {first:,}, so it would not be read; {hint}"
        )


def _has_open_value(path: Path, separator: str) -> bool:
    """Whether a value may begin with a double quote and not end on its line. Few files need a closer look."""
    if not path.stat().st_size:
        return False
    opens = rb"(?:\A(?:\xef\xbb\xbf)?|[\r\n]|" + separator.encode() + rb')"(?:[^"\r\n]|"")*+(?:[\r\n]|\Z)'
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        return re.search(opens, content) is not None


def _find_joined_row(path: Path, separator: str) -> tuple[int, int] | None:
    """The first line of a value that holds a row, and the line of that row; None if there is none."""
    records = _read_records(path, separator)
    width = len(next(records).values)
    # for each suspect, the number of its first line and the splits of all its lines
    suspects: list[tuple[int, list[_Splits]]] = []
    for record in records:
        splits_of_lines = [_split_line(line, separator, width) for line in record.lines]
        if splits_of_lines[0] and any(splits_of_lines[1:]):
            suspects.append((record.first, splits_of_lines))
    if not suspects:
        return None
    columns = [_Column() for _ in range(width)]
    for record in islice(_read_records(path, separator), 1, None):
        if len(record.lines) == 1 and len(record.values) == width:
            for column, value in zip(columns, record.values, strict=True):
                column.add(value)
    known = [(at, column) for at, column in enumerate(columns) if column.count and column.is_known]

    def is_row(splits: _Splits) -> bool:
        return bool(known) and any(all(column.suits(values[at]) for at, column in known) for values in splits)

    for first, splits_of_lines in suspects:
        row_lines = [number for number, splits in enumerate(splits_of_lines, first) if is_row(splits)]
        if row_lines[:1] == [first] and len(row_lines) > 1:
            return first, row_lines[1]
    return None


def _split_line(line: str, separator: str, width: int) -> _Splits:
    """The splits of a line that have `width` values."""
    plain = line.rstrip("\r\n").split(separator)
    splits = [plain, *csv.reader([line], delimiter=separator)]
    return [values for values in splits if len(values) == width]


def _read_records(path: Path, separator: str) -> Iterator[_Record]:
    """The header and the rows, without blank lines."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        lines: list[str] = []
        first = 1
        for values in csv.reader(_copy_lines(stream, lines), delimiter=separator):
            if values:
                yield _Record(first, [*lines], values)
            first += len(lines)
            lines.clear()


def _copy_lines(stream: Iterable[str], copies: list[str]) -> Iterator[str]:
    """The lines of a stream. Appends each of them to `copies`."""
    for line in stream:
        copies.append(line)
        yield line
