"""JSON has arrays where the tables of a suite, which are strict, have tuples."""

from __future__ import annotations

from typing import Any


def with_tuples(value: object) -> Any:
    """JSON values with arrays as tuples, as those of a suite are read."""
    if isinstance(value, dict):
        return {key: with_tuples(inner) for key, inner in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value
