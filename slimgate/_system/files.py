"""Files and folders that a reader sees whole: the old one or the new one, never half. Room on the disk.

Room is asked for before a file is written through a memory map: a mapped file has holes until it is written,
and where the disk is full by then, the kernel ends the process (SIGBUS), and nobody can tell why.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def room_for(path: Path) -> None:
    """Fills the holes of a file, so that all of it is on the disk. Raises OSError where there is no room."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with path.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        os.posix_fallocate(stream.fileno(), 0, size)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file whole."""
    with replacing(path) as new:
        new.write_text(text, "utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what shall stand at `path`: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield new
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Where to write what shall stand in `folder`, which is made or replaced whole as the context ends.

    Written beside its place under a name that begins with a dot, then moved there.
    """
    folder = folder.resolve()
    new, old = (folder.with_name(f".{folder.name}.{suffix}.{os.getpid()}") for suffix in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    finally:
        if old.exists() and not folder.exists():  # also where somebody interrupts it
            os.replace(old, folder)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
