"""Reads JSON of files that other programs wrote, up to a size, and describes what is wrong with it.

json.loads raises three kinds of error for text that is not JSON: JSONDecodeError, a plain ValueError for a
number with thousands of digits, RecursionError for thousands of brackets. NOT_JSON has them all.

json.loads also accepts two things that harm later code. Of a key that an object has twice, it keeps the last
value. And a text may have half of a surrogate pair, which UTF-8 cannot encode. JavaScript writes it if it
cuts an emoji.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# An object that another program wrote. Nothing promises the types of its values, so mypy checks no use of
# them. Readers raise an error if they use a value of another type.
JsonObject = Mapping[str, Any]
NOT_JSON = (ValueError, RecursionError)
# The largest known tokenizer.json has about 35 MB, a config.json has kilobytes.
MAX_BYTES = 100_000_000
HALF_PAIR = re.compile("[\ud800-\udfff]")
# JSON that may have half of a surrogate pair: escaped, or as Python decodes it from bytes.
_MAY_HAVE_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


class RefusedJsonError(ValueError):
    """Text that json.loads accepts: a key twice with different values, or NaN."""


def parse_json(content: str | bytes) -> Any:
    """The value of a JSON text. Raises one of NOT_JSON, also for a key with two values in one object."""
    return _parse(_decode(content))


def parse_log_json(content: str | bytes) -> Any:
    """As `parse_json`, with U+FFFD for half of a surrogate pair, in keys too."""
    text = _decode(content)
    value = _parse(text)
    return _replace_halves(value) if _MAY_HAVE_HALF.search(text) else value


def _decode(content: str | bytes) -> str:
    """The text, as json.loads decodes it."""
    if isinstance(content, str):
        return content
    return content.decode(json.detect_encoding(content), "surrogatepass")


def _make_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        for key, value in pairs:
            if values[key] != value:
                raise RefusedJsonError(f'the key "{key}" is there twice, with different values')
    return values


_parse = json.JSONDecoder(object_pairs_hook=_make_object).decode


def _replace_halves(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else HALF_PAIR.sub("\ufffd", value)
    if isinstance(value, list):
        return [_replace_halves(item) for item in value]
    if isinstance(value, dict):
        return {_replace_halves(key): _replace_halves(item) for key, item in value.items()}
    return value


def parse_strict(text: str) -> Any:
    """The value of a JSON text. Raises one of NOT_JSON, also for NaN and Infinity, which Python accepts."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise RefusedJsonError(f"{name} is not JSON")


def describe_json_error(error: Exception) -> str:
    """What is wrong, in a few words. error: one of NOT_JSON."""
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if "\n" in error.doc.rstrip("\r\n") else ""
        return f"{error.msg}, {line}column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, RefusedJsonError):
        return str(error)
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


def read_json(path: Path, *, max_bytes: int = MAX_BYTES, parse: Callable[[str], Any] = json.loads) -> Any:
    """Reads the value of a file. Raises ValueError with one line for wrong content, and OSError."""
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"{size} bytes were given, expected at most {max_bytes}")
    try:
        return parse(path.read_text("utf-8-sig"))  # editors on Windows write a byte order mark
    except NOT_JSON as error:
        raise ValueError(f"not JSON: {describe_json_error(error)}") from error
