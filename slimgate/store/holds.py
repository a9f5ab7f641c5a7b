"""Which entries of a store running processes use, and when each was used last: what a prune must know.

    holds/ID.lock       locked as long as a process lives; the kernel lets go however it dies
    holds/ID            the entries that it uses, a line each
    used/KIND-KEY       an empty file whose time is set at each use: access times are not kept where a disk is
                        mounted with noatime, and a file of an entry itself is never touched

A process says that it uses an entry before it looks whether it is there; a prune looks who uses it and takes
it away in one go. Both hold the lock `locks/holds.lock` for that moment, so that neither overtakes the other.
"""

from __future__ import annotations

import atexit
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

FOLDERS = ("holds", "used")


@dataclass
class _Holder:
    """What this process uses of one store."""

    file: Path
    alive: FileLock
    names: set[str] = field(default_factory=set)

    def forget(self) -> None:
        """At the end of the process, which a child that was forked from it does not tell."""
        if self.file.name.split(".")[0] == str(os.getpid()):
            with suppress(OSError):
                self.file.unlink(missing_ok=True)
                Path(self.alive.lock_file).unlink(missing_ok=True)


# By the store and by the process: a forked child holds for itself.
_MINE: dict[tuple[Path, int], _Holder] = {}


def moment_of_holds(root: Path) -> FileLock:
    """The lock under which holds are said and read."""
    return FileLock(root / "locks" / "holds.lock")


def hold(root: Path, name: str) -> None:
    """Says that this process uses an entry until it ends, whether it is there or not. Raises OSError."""
    mine = _MINE.get((root, os.getpid()))
    if mine is not None and name in mine.names:
        return
    with moment_of_holds(root):
        if mine is None or not mine.file.exists():
            mine = _MINE[root, os.getpid()] = _new_holder(root)
        with mine.file.open("a", encoding="utf-8") as stream:
            stream.write(name + "\n")
        mine.names.add(name)


def _new_holder(root: Path) -> _Holder:
    file = root / "holds" / f"{os.getpid()}.{secrets.token_hex(4)}"
    file.parent.mkdir(exist_ok=True)
    alive = FileLock(f"{file}.lock", thread_local=False)
    alive.acquire(timeout=0)
    holder = _Holder(file, alive)
    atexit.register(holder.forget)
    return holder


def held_entries(root: Path) -> frozenset[str]:
    """The entries that living processes use, to be asked under `moment_of_holds`. Dead ones are forgotten."""
    names: set[str] = set()
    for lock in (root / "holds").glob("*.lock"):
        file = lock.with_suffix("")
        try:
            with FileLock(lock, timeout=0):
                file.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        except (Timeout, PermissionError):  # it lives, or is somebody else's and may
            with suppress(FileNotFoundError):  # between its lock and its first line
                names |= set(file.read_text("utf-8").splitlines())
    return frozenset(names)


def note_use(root: Path, name: str) -> None:
    """Sets the time of an entry's last use to now; a hint, which a full or read-only disk does without."""
    with suppress(OSError):
        file = _use_file(root, name)
        file.parent.mkdir(exist_ok=True)
        file.touch()


def last_use(root: Path, name: str) -> float | None:
    """Seconds since the epoch; None where no use was noted."""
    try:
        return _use_file(root, name).stat().st_mtime
    except OSError:
        return None


def forget_use(root: Path, name: str) -> None:
    """Of an entry that is gone."""
    with suppress(OSError):
        _use_file(root, name).unlink(missing_ok=True)


def _use_file(root: Path, name: str) -> Path:
    return root / "used" / name.replace("/", "-")
