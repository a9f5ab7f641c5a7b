"""Converts arrays of JSON to tuples, which the strict tables of a suite need."""

from __future__ import annotations

from typing import Any


def with_tuples(value: object) -> Any:
    """JSON values with arrays as tuples, as for a suite."""
    if isinstance(value, dict):
        return {key: with_tuples(inner) for key, inner in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value
