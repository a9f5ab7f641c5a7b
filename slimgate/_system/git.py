"""The commit that is checked out."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

_SECONDS = 10


@cache
def describe_commit(folder: Path) -> str | None:
    """Returns the commit that is checked out in a folder; None outside of a git repository.

    Returns:
        12 hexadecimal digits, followed by "+" if tracked files differ from the commit.
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
