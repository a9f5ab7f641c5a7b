"""The names of a command line's targets in a record."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def name_targets(paths: Iterable[Path]) -> dict[str, Path]:
    """The paths by name, in order."""
    named: dict[str, Path] = {}
    for path in paths:
        # The file's or folder's name, with a number if two targets share it.
        stem = path.resolve().name if path.is_dir() else path.stem
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-") or "target"
        plain = "target" if plain == "teacher" else plain
        number = sum(name == plain or name.startswith(f"{plain}-") for name in named)
        named[f"{plain}-{number + 1}" if number else plain] = path
    return named
