"""The content-addressed store of splits, artifacts, outcomes, and what a teacher answers on train rows.

    .slimgate/
        .gitignore              *
        splits/KEY/  artifacts/KEY/  outcomes/KEY/  teacher_answers/KEY/    an entry: its files, manifest.json
        locks/                  a lock per key
        tmp/                    entries that are being made
        unfinished/             answers of servers, line by line, of entries that are not whole yet
        damaged/                entries that were not as they were made, kept to be looked at
        holds/  used/           who uses what, and when (holds.py)
        looks/                  what was judged on which rows (looks.py)

An entry appears whole or not at all: it is made in tmp/, its manifest (with the sha256 of every file) is
written last, then the folder is renamed. What a killed process left in tmp/ is removed by the next one
that opens the store: nobody holds the lock of its key. Every entry is read through before it is given out;
one that is damaged is set aside and made again. docs/store.md tells of several machines on one store.

What a disk refuses, in one line that says what to do: full, read-only, not permitted, without locks.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slimgate.errors import BuildError
from slimgate.store.holds import held_entries, hold, moment_of_holds, note_use
from slimgate.store.seal import MANIFEST, Damaged, check_entry, seal

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a library written in another language says in words, with the number of the error.
_FULL_IN_WORDS = re.compile(r"No space left on device|Disk quota exceeded|File too large \(os error")
_ELSEWHERE = "name another by --slimgate-store DIR"
_FREE = f"free some by `slimgate store prune --max-size SIZE`, or {_ELSEWHERE}"
Json = dict[str, Any]

DAMAGED, UNFINISHED = "damaged", "unfinished"
# What another machine left in tmp/ stays so long, though nobody holds its lock: locks may not reach there.
_OF_OTHERS_SECONDS = 24 * 60 * 60
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """What the store itself does to its files: every refusal is a BuildError of one line."""
    try:
        yield
    except OSError as error:
        raise BuildError(f"store {root}: {_refusal(error)}") from error


@contextmanager
def reading(root: Path, name: str) -> Iterator[None]:
    """An entry that may not be read is no damaged one: that is a BuildError of one line."""
    try:
        yield
    except OSError as error:
        message = f"store {root}: {name} cannot be read ({error.strerror})"
        raise BuildError(f"{message}; let it be read, or {_ELSEWHERE}") from error


@contextmanager
def filling(root: Path, name: str) -> Iterator[None]:
    """What fills an entry may fail in any way; a disk that is full, or read-only by now, is told as such."""
    try:
        yield
    except Exception as error:
        cause = next((cause for cause in _chain(error) if _is_full(cause) or _is_read_only(cause)), None)
        if cause is None or f"store {root}: " in str(error):  # an entry made within this one has told
            raise
        problem = _refusal(cause) if isinstance(cause, OSError) else f"no space is left; {_FREE}"
        text = " ".join(str(error).split())
        raise BuildError(
            f"store {root}: {problem}; nothing of {name} was kept, which ended: {text}"
        ) from error


def _refusal(error: OSError) -> str:
    if error.errno in _FULL:
        return f"no space is left ({error.strerror}); {_FREE}"
    if error.errno == errno.ENOLCK:
        return f"files cannot be locked there ({error.strerror}); mount the share with locks, or {_ELSEWHERE}"
    return f"cannot be written ({error.strerror}); {_ELSEWHERE}"


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return _FULL_IN_WORDS.search(str(error)) is not None


def _is_read_only(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EROFS


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class DamagedEntry(UserWarning):
    """An entry that was not as it was made; it was set aside and is made again."""


@dataclass(frozen=True)
class Entry:
    """A complete entry: its folder, its manifest, and whether it was there before."""

    folder: Path
    manifest: Json
    from_store: bool


class Store:
    """Entries by kind and key, under one root folder."""

    def __init__(self, root: Path, *, rebuild: str | None = None) -> None:
        """rebuild: a mark, such as `moment` gives; what was not made under it counts as missing.

        That it is no comparison of times makes it right also where a clock was set back.
        """
        self.root = root
        self._rebuild = rebuild
        with writing(root):
            for name in ("locks", "tmp"):
                (root / name).mkdir(parents=True, exist_ok=True)
            ignore = root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", "utf-8")
            self._sweep()

    def _sweep(self) -> None:
        """Removes what killed processes left; an entry that is being made is locked, and stays."""
        for left in (self.root / "tmp").iterdir():
            name, _, _ = left.name.rpartition("-")
            with suppress(Timeout), FileLock(self._lock_file(name), timeout=0):
                _remove_leftover(left)
        with moment_of_holds(self.root):
            held_entries(self.root)  # forgets processes that are gone

    def _lock_file(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"

    def find(self, kind: str, key: str) -> Entry | None:
        """The entry, where it is complete, every file as it was made, and not to be rebuilt.

        From then on this process uses it: no prune takes it away. Raises BuildError where it may not be read.
        """
        folder, name = self.root / kind / key, f"{kind}/{key}"
        with writing(self.root):
            if not folder.is_dir():
                return None
            hold(self.root, name)  # before looking: what is looked at is not pruned
        with reading(self.root, name):
            try:
                manifest = check_entry(folder, name)
            except Damaged:
                return None
        if self._rebuild not in (None, manifest.get("rebuild")):
            return None
        note_use(self.root, name)
        return Entry(folder, manifest, True)

    def make(self, kind: str, key: str, fill: Callable[[Path], Json]) -> Entry:
        """The entry, made by `fill` where it is missing.

        fill(folder) writes the entry's files into an empty folder and gives what the manifest shall say.
        One process makes it; others that ask meanwhile wait and take it. Raises BuildError where the disk
        is full or may not be written; nothing of the entry is left then.
        """
        artifact = self.find(kind, key)
        if artifact is not None:
            return artifact
        with self._lock(kind, key):
            artifact = self.find(kind, key)
            if artifact is not None:
                return artifact
            self._set_aside_if_damaged(kind, key)
            return self._make(kind, key, fill)

    @contextmanager
    def _lock(self, kind: str, key: str) -> Iterator[None]:
        with writing(self.root):
            lock = FileLock(self._lock_file(f"{kind}-{key}"))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def unfinished_file(self, kind: str, key: str) -> Path:
        """A file for parts of an entry, which a process that is killed leaves for the next one that makes it.

        Whoever makes the entry writes it, under the entry's lock, and removes it when the entry is whole.
        """
        mark = "" if self._rebuild is None else re.sub(r"\W", "", self._rebuild)
        return self.root / UNFINISHED / f"{kind}-{key}{mark}.jsonl"

    def _set_aside_if_damaged(self, kind: str, key: str) -> None:
        """Moves a damaged entry to damaged/, and warns."""
        folder, name = self.root / kind / key, f"{kind}/{key}"
        if not os.path.lexists(folder):
            return
        try:
            with reading(self.root, name):
                check_entry(folder, name)
            return
        except Damaged as error:
            problem = str(error)
        aside = self.root / DAMAGED / f"{kind}-{key}-{secrets.token_hex(4)}"
        with writing(self.root):
            aside.parent.mkdir(exist_ok=True)
            os.rename(folder, aside)
        note_use(self.root, f"{DAMAGED}/{aside.name}")
        warning = (
            f"store {self.root}: {name} is damaged ({problem}); it is made again, and kept as {aside.name}"
        )
        warnings.warn(warning, DamagedEntry, stacklevel=2)

    def _make(self, kind: str, key: str, fill: Callable[[Path], Json]) -> Entry:
        name = f"{kind}/{key}"
        with writing(self.root):
            work = self._workplace(kind, key)
        try:
            with filling(self.root, name):
                facts = fill(work)
            with writing(self.root):
                facts = dict(facts, key=key, created=moment(), rebuild=self._rebuild)
                manifest = seal(work, name, facts)
                hold(self.root, name)
                return self._publish(work, kind, key, manifest)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _workplace(self, kind: str, key: str) -> Path:
        """An empty folder in tmp/, of this process alone; what others of this key left there is removed."""
        for left in (self.root / "tmp").glob(f"{kind}-{key}-*"):
            if left.name.rpartition("-")[0] == f"{kind}-{key}":
                _remove_leftover(left)
        work = self.root / "tmp" / passing_name(kind, key)
        work.mkdir()
        return work

    def _publish(self, work: Path, kind: str, key: str, manifest: Json) -> Entry:
        """Moves an entry to its place. Where locks do not reach, another machine may have been faster."""
        final, name = self.root / kind / key, f"{kind}/{key}"
        final.parent.mkdir(exist_ok=True)
        old = work.with_name(work.name + ".old")
        while True:
            try:
                os.rename(work, final)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                note_use(self.root, name)
                return Entry(final, manifest, False)
            if self._rebuild is None and (artifact := self.find(kind, key)) is not None:
                return artifact
            with suppress(FileNotFoundError):
                os.rename(final, old)
            remove(old)


def entry_of(root: Path, kind: str, key: str) -> Entry:
    """An entry of a store that is only read, also where it may not be written.

    Raises BuildError for damage.
    """
    folder, name = root / kind / key, f"{kind}/{key}"
    with suppress(OSError):  # what cannot be written is not pruned from here either
        hold(root, name)
        note_use(root, name)
    try:
        with reading(root, name):
            return Entry(folder, check_entry(folder, name), True)
    except Damaged as error:
        raise BuildError(f"store {root}: {name} is damaged ({error}); the next run makes it again") from error


def passing_name(kind: str, key: str) -> str:
    """The name of a folder in tmp/: whose entry, which process, on which machine."""
    return f"{kind}-{key}-{os.getpid()}.{secrets.token_hex(4)}.{_host()}"


def _host() -> str:
    return re.sub(r"\W", "_", socket.gethostname())


def _remove_leftover(left: Path) -> None:
    """Removes what nobody works at: of this machine at once, of another after a day.

    Renamed first: whoever still works there, where locks do not reach, finds nothing, and never a part.
    """
    name, _, who = left.name.rpartition("-")
    host = who.removesuffix(".old").removesuffix(".scratch").split(".")[2:]
    with suppress(FileNotFoundError):
        if not host or host == [_host()] or time.time() - left.stat().st_mtime > _OF_OTHERS_SECONDS:
            gone = left.with_name(passing_name(*name.split("-", 1)) if "-" in name else f"{left.name}.old")
            os.rename(left, gone)
            remove(gone)


def remove(path: Path) -> None:
    """Removes a folder, or what stands in the place of one, as far as it can be."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)


def moment() -> str:
    """Now, in UTC; earlier moments sort before later ones."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """An empty folder for what making an entry needs meanwhile; after a kill it is removed with the entry."""
    scratch = folder.with_name(f"{folder.name}.scratch")
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def files_of(folder: Path) -> list[str]:
    """Relative names of the files below a folder, without the manifest, sorted."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if path != MANIFEST)
