"""A table for the terminal: how the environments of two runs differ."""

from __future__ import annotations

import json

from tabulate import tabulate

from slimgate._system.escape import escape_invisible
from slimgate._system.number_text import MISSING
from slimgate.plugins.environments import AREAS, EnvironmentChanges

_LONGEST = 48


def format_environment(changes: EnvironmentChanges) -> str:
    """A table of the settings that differ, and a line with the areas that a run does not state."""
    lines = []
    if changes.changed:
        rows = [
            (
                AREAS[change.area],
                escape_invisible(change.name),
                _shorten(change.base),
                _shorten(change.target),
            )
            for change in changes.changed
        ]
        lines.append("differences between the two runs; those that usually change a score most come first:")
        lines.append(tabulate(rows, ("area", "setting", "base", "target"), disable_numparse=True))
    else:
        lines.append("what differs between the two runs: nothing that both of them state")
    if changes.unknown:
        areas = "; ".join(AREAS[area] for area in changes.unknown)
        lines.append(f"not compared, because one of the runs does not state it: {areas}")
    return "\n".join(lines)


def _shorten(value: object) -> str:
    if value is None:
        return MISSING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return escape_invisible(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…")
