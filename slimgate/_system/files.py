"""Writes files and folders that a reader sees complete: the old one or the new one, never half.

Also disk space, and why a path does not exist.

Space is allocated before a file is written through a memory map: a mapped file has holes until it is written.
If the disk is full by then, the kernel ends the process (SIGBUS) without an error message.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from slimgate.errors import did_you_mean

# The error numbers of a disk, a quota or a limit of the process that is used up.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def allocate_space(path: Path) -> None:
    """Reserves space on the disk for the holes of a file. Raises OSError if there is none.

    It does nothing on macOS, which has no posix_fallocate.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        os.posix_fallocate(stream.fileno(), 0, size)


def probe_folder(folder: Path) -> None:
    """Raises OSError if no file can be written into a folder, or where the folder would be made."""
    existing_folder = next(path for path in (folder, *folder.parents) if path.exists())
    with TemporaryFile(dir=existing_folder, buffering=0) as probe:
        probe.write(b"0")


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file; a reader sees the old file or the new one."""
    with replacing(path) as new:
        new.write_text(text, "utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which then replaces `path`: a reader sees the old file or the new one.

    An OSError gets the name of the file: the system names none if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{_make_unique_mark()}")
    try:
        yield new
        os.replace(new, path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(new)):
            error.filename = str(path)
        raise


def _make_unique_mark() -> str:
    """A part of a name that nothing else uses: in containers, processes often have the same id."""
    return f"{os.getpid()}.{secrets.token_hex(4)}"


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `folder`, or replaces it as a whole, when the context ends.

    It is next to its final place, under a name that begins with a dot, and then moved.
    """
    folder = folder.resolve()
    mark = _make_unique_mark()
    new, old = (folder.with_name(f".{folder.name}.{suffix}.{mark}") for suffix in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    finally:
        if old.exists() and not folder.exists():  # also after an interruption
            os.replace(old, folder)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


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
