"""Checks whether processes have ended."""

from __future__ import annotations

import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it has ended before or while it is read
        return False
    return state != "Z"


def wait_for_end(pids: list[int], seconds: float = 20.0) -> bool:
    """Waits until no process runs, at most `seconds`. Returns whether all have ended."""
    end = time.monotonic() + seconds
    while any(map(is_running, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(is_running, pids))
