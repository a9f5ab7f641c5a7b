"""Why a path does not exist: backslashes, or a folder above it."""

from __future__ import annotations

import os
from pathlib import Path

from slimgate.errors import did_you_mean


def explain_missing_path(path: Path) -> str:
    """`, and no folder logs/v2. Did you mean v1?`; empty if all folders above the path exist."""
    if os.sep == "/" and "\\" in str(path):
        return "; write / between folders, which also works on Windows"
    missing = [folder for folder in path.parents if not folder.is_dir()]
    if not missing:
        return ""
    first = missing[-1]
    siblings = [entry.name for entry in first.parent.iterdir() if entry.is_dir()]
    return f", and no folder {first}{did_you_mean(first.name, siblings)}"
