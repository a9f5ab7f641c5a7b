"""What differs between two runs, as a table for a terminal."""

from __future__ import annotations

import json
from typing import Any

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate.plugins.environments import AREAS, EnvironmentChanges

_LONGEST = 48


def format_environment(changes: EnvironmentChanges) -> str:
    """A table of what differs, and a line of what is not known."""
    lines = []
    if changes.changed:
        rows = [
            (AREAS[change.area], visible(change.name), _short(change.base), _short(change.target))
            for change in changes.changed
        ]
        lines.append("what differs between the two runs, what usually moves a score most comes first:")
        lines.append(tabulate(rows, ("area", "setting", "base", "target"), disable_numparse=True))
    else:
        lines.append("what differs between the two runs: nothing of what both say")
    if changes.unknown:
        areas = "; ".join(AREAS[area] for area in changes.unknown)
        lines.append(f"not compared, because a run does not say it: {areas}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return visible(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…")
