"""Reads JSON of files that other programs wrote, up to a size, and describes what is wrong with it.

json.loads raises three kinds of error for text that is not JSON: JSONDecodeError, a plain ValueError for a
number with thousands of digits, RecursionError for thousands of brackets. NOT_JSON has them all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NOT_JSON = (ValueError, RecursionError)
# The largest known tokenizer.json has about 35 MB, a config.json has kilobytes.
MAX_BYTES = 100_000_000


def parse_strict(text: str) -> Any:
    """The value of a JSON text. Raises one of NOT_JSON, also for NaN and Infinity, which Python accepts."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def describe_json_error(error: Exception) -> str:
    """What is wrong, in a few words. error: one of NOT_JSON."""
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if "\n" in error.doc.rstrip("\r\n") else ""
        return f"{error.msg}, {line}column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"


def convert_to_json(value: object) -> Any:
    """A value after a round trip through JSON: tuples become lists, unknown types become texts."""
    return json.loads(json.dumps(value, ensure_ascii=False, default=str))


def convert_to_tuples(value: object) -> Any:
    """JSON values with arrays as tuples, which the strict tables of a suite need."""
    if isinstance(value, dict):
        return {key: convert_to_tuples(inner) for key, inner in value.items()}
    return tuple(map(convert_to_tuples, value)) if isinstance(value, list) else value


def parse_texts(raw: bytes) -> list[str]:
    """The texts of a file's metadata, such as its class names. Raises ValueError in one line."""
    try:
        value = json.loads(raw)
    except NOT_JSON as error:
        raise ValueError(f"not JSON: {describe_json_error(error)}") from error
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{raw[:60]!r} was given, expected a list of texts")
    return value


def read_json(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Reads the value of a file. Raises ValueError with one line for wrong content, and OSError."""
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"{size} bytes were given, expected at most {max_bytes}")
    try:
        return json.loads(path.read_text("utf-8-sig"))  # editors on Windows write a byte order mark
    except NOT_JSON as error:
        raise ValueError(f"not JSON: {describe_json_error(error)}") from error
