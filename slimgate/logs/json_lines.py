"""JSON of logs: an object on each line, or one object a file. An error is one line with file and place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from slimgate._system.json_text import NOT_JSON, JsonObject, parse_log_json, read_json
from slimgate.data.json_rows import parse_numbered_lines
from slimgate.errors import DataError

# A log that is one object is read whole; promptfoo and deepeval write such logs.
_MOST_BYTES = 2 * 10**9
# If the first line is longer, its keys are not read.
_LONGEST_LINE = 4 * 2**20


def read_objects(path: Path) -> Iterator[tuple[int, JsonObject]]:
    """(line, object) of each line that is not blank. Raises DataError naming file and line."""
    try:
        with path.open("rb") as stream:
            yield from parse_numbered_lines(path, stream, parse=parse_log_json)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def read_object(path: Path) -> JsonObject:
    """The object of a file. Raises DataError in one line."""
    value = _read_value(path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: it is not a JSON object, expected the log of one run")
    return value


def read_array(path: Path) -> list[JsonObject]:
    """The array of a file, of objects if its tool wrote it. Raises DataError in one line."""
    value = _read_value(path)
    if not isinstance(value, list):
        raise DataError(f"{path}: it is not a JSON array, expected a list of entries")
    return value


def _read_value(path: Path) -> object:
    try:
        return read_json(path, max_bytes=_MOST_BYTES, parse=parse_log_json)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def read_first_keys(path: Path) -> frozenset[str]:
    """The keys of the object in the first line of a file, to recognize it by; empty for any other file."""
    if not path.is_file():
        return frozenset()
    try:
        with path.open("rb") as stream:
            line = stream.readline(_LONGEST_LINE).decode("utf-8-sig", "ignore")
        value = json.loads(line) if line.startswith("{") else None
    except (OSError, *NOT_JSON):
        return frozenset()
    return frozenset(value) if isinstance(value, dict) else frozenset()


def read_beginning(path: Path, size: int = 4096) -> str:
    """The first characters of a file, to recognize it by; "" for what is not a text file."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as stream:
            return stream.read(size).decode("utf-8", "ignore").lstrip("\ufeff \n\r\t")
    except OSError:
        return ""


def convert_to_text(value: object) -> str | None:
    """A value to compare or quote: text as it is, else its JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
