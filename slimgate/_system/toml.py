"""Values and keys in TOML's form, on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def format_toml_key(part: object) -> str:
    """A key, in quotes if it needs them."""
    return str(part) if _BARE_KEY.fullmatch(str(part)) else _format_string(str(part))


def format_toml_value(value: object) -> str:
    """A value that `tomllib` reads as the same; tables are written inline. The repr for other values."""
    return next((form(value) for kind, form in _FORMS if isinstance(value, kind)), repr(value))


def format_value(value: object) -> str:
    """A value in TOML's form, cut if it is long."""
    text = format_toml_value(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _format_string(text: str) -> str:
    # JSON's escapes are TOML's, except for DEL, which TOML requires to be escaped
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007F")


def _format_inline_table(table: Mapping[object, object]) -> str:
    pairs = ", ".join(f"{format_toml_key(key)} = {format_toml_value(value)}" for key, value in table.items())
    return f"{{ {pairs} }}" if pairs else "{}"


_FORMS: list[tuple[Any, Callable[[Any], str]]] = [
    (bool, lambda v: str(v).lower()),
    (str, _format_string),
    (Mapping, _format_inline_table),
    ((list, tuple), lambda v: "[" + ", ".join(map(format_toml_value, v)) + "]"),
    ((date, time), lambda v: str(v.isoformat())),
]
