"""Records which entries of a store running processes use, and when each entry was last used.

`slimgate store prune` needs both: it keeps the entries that a process uses, and removes the others in the
order of their last use.

    holds/ID.lock       locked while a process lives; the kernel releases it however the process ends
    holds/ID            the entries that the process uses, one in each line; blank lines are ignored
    used/KIND-KEY       an empty file whose modification time is the last use. The access time does not work
                        for this, because a disk may be mounted with noatime

A process first records that it uses an entry, and then opens the entry. A prune holds the lock
`locks/holds.lock` while it reads which entries are used and moves the others away. A process needs the same
lock to record a use. So if the entry still exists afterwards, no prune moves it away.
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
    """The entries of one store that this process uses.

    file: lists the entries. alive: a lock that the process keeps until it ends. names: of the entries.
    """

    file: Path
    alive: FileLock
    names: set[str] = field(default_factory=set)

    def forget(self) -> None:
        """Removes the files at the end of the process."""
        # A child that was forked from the process runs this too when it ends, and must not remove them.
        if self.file.name.split(".")[0] == str(os.getpid()):
            with suppress(OSError):
                self.file.unlink(missing_ok=True)
                Path(self.alive.lock_file).unlink(missing_ok=True)


# By the root of the store and the process, because a forked child needs its own holder.
_HOLDERS: dict[tuple[Path, int], _Holder] = {}


def lock_holds(root: Path) -> FileLock:
    """The lock that a process needs to write or read holds."""
    return FileLock(root / "locks" / "holds.lock")


def hold_entry(root: Path, name: str) -> None:
    """Records that this process uses an entry until it ends. The entry need not exist. Raises OSError."""
    holder = _HOLDERS.get((root, os.getpid()))
    # A user may have removed the folder, or the locks in it.
    is_listed = holder is not None and holder.file.exists() and Path(holder.alive.lock_file).exists()
    if holder is not None and is_listed and name in holder.names:
        return
    with lock_holds(root):
        new = {name}
        if holder is None or not is_listed:
            new |= set() if holder is None else holder.names
            holder = _HOLDERS[root, os.getpid()] = _make_holder(root)
        with holder.file.open("a", encoding="utf-8") as stream:
            # the first line break ends the previous line, which a full disk may have cut short
            stream.write("".join(f"\n{line}\n" for line in sorted(new)))
        holder.names |= new


def _make_holder(root: Path) -> _Holder:
    file = root / "holds" / f"{os.getpid()}.{secrets.token_hex(4)}"
    file.parent.mkdir(exist_ok=True)
    alive = FileLock(f"{file}.lock", thread_local=False)
    alive.acquire(timeout=0)
    holder = _Holder(file, alive)
    atexit.register(holder.forget)
    return holder


def list_used_entries(root: Path) -> frozenset[str]:
    """Lists the entries that running processes use, and removes the files of processes that have ended.

    The caller has the lock `lock_holds`.
    """
    names: set[str] = set()
    for lock in (root / "holds").glob("*.lock"):
        file = lock.with_suffix("")
        try:
            with FileLock(lock, timeout=0):  # no process holds it, so its owner has ended
                file.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        except (Timeout, PermissionError):  # the owner runs, or is another user's process and may run
            with suppress(FileNotFoundError):  # the owner has its lock, but has not written its file yet
                names.update(line for line in file.read_text("utf-8").splitlines() if line)
    return frozenset(names)


def note_use(root: Path, name: str) -> None:
    """Sets the time of an entry's last use to now. It does nothing on a full or read-only disk."""
    with suppress(OSError):
        file = _make_use_path(root, name)
        file.parent.mkdir(exist_ok=True)
        file.touch()


def read_last_use(root: Path, name: str) -> float | None:
    """The last use of an entry, in seconds since the epoch; None if no use is recorded."""
    try:
        return _make_use_path(root, name).stat().st_mtime
    except OSError:
        return None


def forget_use(root: Path, name: str) -> None:
    """Removes the time of the last use of an entry that is gone."""
    with suppress(OSError):
        _make_use_path(root, name).unlink(missing_ok=True)


def _make_use_path(root: Path, name: str) -> Path:
    return root / "used" / name.replace("/", "-")
