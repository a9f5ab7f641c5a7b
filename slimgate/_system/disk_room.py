"""Room on the disk, asked for before a file is written through a memory map.

A mapped file has holes until it is written; where the disk is full by then, the kernel ends the process
(SIGBUS), and nobody can tell why.
"""

from __future__ import annotations

import os
from pathlib import Path


def room_for(path: Path) -> None:
    """Fills the holes of a file, so that all of it is on the disk. Raises OSError where there is no room."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with path.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        os.posix_fallocate(stream.fileno(), 0, size)
