"""Words for readers beside a drop, by limits that are a convention of this project. Never the decision."""

from __future__ import annotations


def band(drop_points: float) -> str:
    """negligible <= 1 point < small <= 2 < depends on the use <= 5 < bad. A gain is negligible."""
    if drop_points <= 1:
        return "negligible"
    if drop_points <= 2:
        return "small"
    return "depends on the use" if drop_points <= 5 else "bad"
