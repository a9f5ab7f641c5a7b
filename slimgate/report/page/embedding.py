"""Data inside a page: JSON that no text of a row can break out of, numbers that JSON can hold."""

from __future__ import annotations

import json
from math import isfinite

from markupsafe import Markup

from slimgate._system.escape import escape_invisible

# A browser ends a script at `</script` in any context, and a row may contain it.
_ACTING = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def embed_json(value: object) -> Markup:
    """JSON for a `<script type="application/json">`; characters that would act are escaped.

    Raises ValueError for a number that is not finite.
    """
    text = json.dumps(_make_all_visible(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ACTING.items():
        text = text.replace(character, escape)
    return Markup(text)


def _make_all_visible(value: object) -> object:
    if isinstance(value, str):
        return escape_invisible(value)
    if isinstance(value, dict):
        return {escape_invisible(str(key)): _make_all_visible(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_make_all_visible(inner) for inner in value]
    return value


def round_number(value: float | None, digits: int = 6) -> float | None:
    """Rounds to this many significant digits; None if the number is not known or not finite."""
    return None if value is None or not isfinite(value) else float(f"{value:.{digits}g}")
