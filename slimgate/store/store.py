"""The content-addressed store of splits, artifacts, outcomes, and what a teacher answers on train rows.

    .slimgate/
        .gitignore              *
        splits/KEY/  artifacts/KEY/  outcomes/KEY/  teacher_answers/KEY/    an entry: its files, manifest.json
        locks/                  a lock for each key
        tmp/                    entries that are being made
        unfinished/             answers of servers so far, of entries that are not complete yet
        damaged/                damaged entries, kept so that a user can look at them
        holds/  used/           which process uses what, and when (holds.py)
        row_use/                what was judged on which rows (record/row_use.py)

An entry appears complete or not at all. It is made in tmp/, its manifest (with the sha256 of every file) is
written last, and then the folder is renamed. If a process is killed, the next one that opens the store
removes what it left in tmp/, because no process holds the lock of that key. The store reads every file of an
entry before it returns the entry. It sets a damaged entry aside and makes it again. docs/store.md describes
several machines on one store.

An error of the disk (full, read-only, not permitted, without locks) becomes one line that says what to do.
"""

from __future__ import annotations

import copy
import errno
import os
import re
import secrets
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slimgate._system.code_reads import FOLDER, describe_code_reads, list_changed_reads
from slimgate._system.files import FULL
from slimgate._system.timestamps import format_now
from slimgate.errors import BuildError, to_one_line
from slimgate.plugins.base import Json
from slimgate.plugins.loading import find_default_runtime, load_plugins
from slimgate.store.holds import hold_entry, list_used_entries, lock_holds, note_use
from slimgate.store.seal import MANIFEST, Damaged, check_entry, seal

# How libraries that are not written in Python report a full disk.
_FULL_IN_WORDS = re.compile(r"No space left on device|Disk quota exceeded|File too large \(os error")
_ELSEWHERE = "name another by --slimgate-store DIR"
_FREE = f"free some by `slimgate store prune --max-size SIZE`, or {_ELSEWHERE}"

DAMAGED, UNFINISHED = "damaged", "unfinished"
# The key of a manifest for what the user's code has read (code_reads.py).
CODE_READS = "code_reads"
# How long a folder of another machine stays in tmp/ although no process seems to hold its lock: locks do not
# reach from machine to machine on every shared disk.
_KEEP_OF_OTHERS_SECONDS = 24 * 60 * 60
# The error numbers of a rename to a place that is taken.
_EXISTS = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turns an OSError into a BuildError of one line. For writes of the store itself."""
    try:
        yield
    except OSError as error:
        raise BuildError(f"store {root}: {_describe_refusal(error)}") from error


@contextmanager
def reading(root: Path, name: str) -> Iterator[None]:
    """Turns an OSError into a BuildError of one line. An entry that cannot be read is not a damaged one."""
    try:
        yield
    except OSError as error:
        message = f"store {root}: {name} cannot be read ({error.strerror})"
        raise BuildError(f"{message}; make it readable, or {_ELSEWHERE}") from error


@contextmanager
def filling(root: Path, name: str) -> Iterator[None]:
    """Turns any error into a BuildError of one line if a full or read-only disk caused it.

    For the code that writes the files of an entry, which may raise anything.
    """
    try:
        yield
    except Exception as error:
        cause = next(filter(_is_full_or_read_only, _iter_causes(error)), None)
        # An entry that is made within this one may have raised the line already.
        if cause is None or f"store {root}: " in str(error):
            raise
        problem = _describe_refusal(cause) if isinstance(cause, OSError) else f"no space is left; {_FREE}"
        text = to_one_line(error)
        raise BuildError(
            f"store {root}: {problem}; {name} was not kept, and building it failed: {text}"
        ) from error


def _describe_refusal(error: OSError) -> str:
    """Why a write failed, and what the user can do about it."""
    if error.errno in FULL:
        return f"no space is left ({error.strerror}); {_FREE}"
    if error.errno == errno.ENOLCK:
        return f"files cannot be locked there ({error.strerror}); mount the share with locks, or {_ELSEWHERE}"
    return f"cannot be written ({error.strerror}); {_ELSEWHERE}"


def _is_full_or_read_only(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (*FULL, errno.EROFS)
    return _FULL_IN_WORDS.search(str(error)) is not None


def _iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its cause or context, the cause of that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class DamagedEntry(UserWarning):
    """The warning for an entry whose files have changed. It is set aside and made again."""


@dataclass(frozen=True)
class Entry:
    """A complete entry: its folder, its manifest, and whether it existed before."""

    folder: Path
    manifest: Json
    from_store: bool


class Store:
    """Entries by kind and key, under one root folder."""

    def __init__(self, root: Path, *, rebuild: str | None = None) -> None:
        """Opens a store, and makes its folder if there is none.

        rebuild: a mark, such as the time. Entries without this mark count as missing. Marks are compared
        for equality and not as times, so it works also if the clock was set back.
        """
        self.root = root
        # The states of what the user's code has read for the entries that this object has returned.
        self.code_reads: dict[str, str] = {}
        self._rebuild = rebuild
        with writing(root):
            for name in ("locks", "tmp"):
                (root / name).mkdir(parents=True, exist_ok=True)
            ignore = root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", "utf-8")
            self._sweep()

    def make_view(self) -> Store:
        """The same store for one run, with code_reads of its own."""
        view = copy.copy(self)
        view.code_reads = {}
        return view

    def _sweep(self) -> None:
        """Removes what killed processes left. An entry that is being made has a lock, and stays."""
        for leftover in (self.root / "tmp").iterdir():
            name, _, _ = leftover.name.rpartition("-")
            with suppress(Timeout), FileLock(self._lock_file(name), timeout=0):
                _remove_leftover(leftover)
        with lock_holds(self.root):
            list_used_entries(self.root)  # removes the files of processes that have ended

    def _lock_file(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"

    def find(self, kind: str, key: str) -> Entry | None:
        """The entry if it is complete, undamaged and not to be rebuilt; else None.

        An entry is to be rebuilt if something has changed that the user's code has read (its manifest says).
        From then on this process uses the entry, so no prune removes it. Raises
        BuildError if it cannot be read.
        """
        folder, name = self.root / kind / key, f"{kind}/{key}"
        with writing(self.root):
            if not folder.is_dir():
                return None
            hold_entry(self.root, name)  # first, so that no prune removes it while its files are read
        with reading(self.root, name):
            try:
                manifest = check_entry(folder, name)
            except Damaged:
                return None
        if self._rebuild not in (None, manifest.get("rebuild")):
            return None
        if list_changed_reads(manifest.get(CODE_READS, {})):
            return None
        note_use(self.root, name)
        self._note_reads(manifest.get(CODE_READS, {}))
        return Entry(folder, manifest, from_store=True)

    def make(
        self, kind: str, key: str, fill: Callable[[Path], Json], *, modules: Iterable[str] = ()
    ) -> Entry:
        """The entry. If it is missing, `fill` makes it.

        fill(folder) writes the files of the entry into an empty folder, and returns the facts for its
        manifest. modules: those whose code `fill` runs. What a user's code among them has read is an input of
        the entry. One process makes an entry. Others wait for it, and then take it. Raises BuildError if the
        disk is full or cannot be written; then nothing of the entry is left.
        """
        entry = self.find(kind, key)
        if entry is not None:
            return entry
        with self._lock(kind, key):
            entry = self.find(kind, key)  # another process may have made it meanwhile
            if entry is not None:
                return entry
            self._set_aside_if_damaged(kind, key)
            return self._make(kind, key, fill, modules)

    @contextmanager
    def _lock(self, kind: str, key: str) -> Iterator[None]:
        """Holds the lock of an entry. Waits while another process holds it."""
        with writing(self.root):
            lock = FileLock(self._lock_file(f"{kind}-{key}"))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def make_unfinished_path(self, kind: str, key: str) -> Path:
        """A file for the finished parts of an entry. If a process is killed, the next one continues from it.

        The process that makes the entry has its lock. It writes the file, and removes it when the entry is
        complete.
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
            f"store {self.root}: {name} is damaged ({problem}); it is built again, and the damaged one is "
            f"kept as {aside.name}"
        )
        warnings.warn(warning, DamagedEntry, stacklevel=2)

    def _make(self, kind: str, key: str, fill: Callable[[Path], Json], modules: Iterable[str]) -> Entry:
        """Fills, seals and publishes an entry. The caller has its lock."""
        name = f"{kind}/{key}"
        with writing(self.root):
            work = self._make_work_folder(kind, key)
        # While it is filled, the reads are those of the entries that it is made from.
        earlier_reads, self.code_reads = self.code_reads, {}
        try:
            with filling(self.root, name):
                facts = fill(work)
            self._note_reads(describe_code_reads(modules, self.root))
            if self.code_reads:
                facts = {**facts, CODE_READS: self.code_reads}
            with writing(self.root):
                facts = dict(facts, key=key, created=format_now("microseconds"), rebuild=self._rebuild)
                manifest = seal(work, name, facts)
                hold_entry(self.root, name)
                entry = self._publish(work, kind, key, manifest)
        finally:
            reads, self.code_reads = self.code_reads, earlier_reads
            shutil.rmtree(work, ignore_errors=True)
        self._note_reads(reads)
        return entry

    def _note_reads(self, reads: Mapping[str, str]) -> None:
        """Notes what an entry depends on. Raises BuildError if another entry depends on another version.

        A listed folder may get new files during a run, such as the reports, so folders are not compared.
        """
        for name, state in reads.items():
            if self.code_reads.setdefault(name, state) != state and not state.startswith(FOLDER):
                raise BuildError(
                    f"{name}, which your code reads, changed during this run, so models would be compared by "
                    "two versions; run again when nothing changes it"
                )

    def _make_work_folder(self, kind: str, key: str) -> Path:
        """Makes an empty folder in tmp/. Removes what other processes left there of this key."""
        for leftover in (self.root / "tmp").glob(f"{kind}-{key}-*"):
            if leftover.name.rpartition("-")[0] == f"{kind}-{key}":
                _remove_leftover(leftover)
        work = self.root / "tmp" / make_temporary_name(kind, key)
        work.mkdir()
        return work

    def _publish(self, work: Path, kind: str, key: str, manifest: Json) -> Entry:
        """Moves an entry to its place.

        An entry that is there already is replaced if entries are rebuilt, or if it is damaged. Otherwise
        another machine has made it meanwhile, on a disk without locks between machines, and it is used.
        """
        final, name = self.root / kind / key, f"{kind}/{key}"
        final.parent.mkdir(exist_ok=True)
        old = work.with_name(work.name + ".old")
        while True:
            try:
                os.rename(work, final)
            except OSError as error:
                if error.errno not in _EXISTS:
                    raise
            else:
                note_use(self.root, name)
                return Entry(final, manifest, from_store=False)
            if self._rebuild is None and (entry := self.find(kind, key)) is not None:
                return entry
            with suppress(FileNotFoundError):
                os.rename(final, old)
            remove(old)


def open_entry(root: Path, kind: str, key: str) -> Entry:
    """Opens an entry without a Store, which would write. It works on a read-only disk too.

    Raises BuildError if the entry is damaged or cannot be read.
    """
    folder, name = root / kind / key, f"{kind}/{key}"
    with suppress(OSError):  # on a read-only disk nothing prunes the entry either
        hold_entry(root, name)
        note_use(root, name)
    try:
        with reading(root, name):
            return Entry(folder, check_entry(folder, name), from_store=True)
    except Damaged as error:
        raise BuildError(
            f"store {root}: {name} is damaged ({error}); the next run builds it again"
        ) from error


def make_temporary_name(kind: str, key: str) -> str:
    """A unique name for a folder in tmp/, from the entry, the process and the machine."""
    return f"{kind}-{key}-{os.getpid()}.{secrets.token_hex(4)}.{_read_host_name()}"


def _read_host_name() -> str:
    return re.sub(r"\W", "_", socket.gethostname())


def _remove_leftover(leftover: Path) -> None:
    """Removes a folder that a process left in tmp/: at once if it is of this machine, else after a day.

    It renames the folder first. If a process of another machine still writes there, it then finds no folder,
    instead of one with some of its files.
    """
    name, _, maker = leftover.name.rpartition("-")
    host = maker.removesuffix(".old").removesuffix(".scratch").split(".")[2:]
    with suppress(FileNotFoundError):
        if (
            not host
            or host == [_read_host_name()]
            or time.time() - leftover.stat().st_mtime > _KEEP_OF_OTHERS_SECONDS
        ):
            doomed = leftover.with_name(
                make_temporary_name(*name.split("-", 1)) if "-" in name else f"{leftover.name}.old"
            )
            os.rename(leftover, doomed)
            remove(doomed)


def remove(path: Path) -> None:
    """Removes a folder, or a file in its place. It ignores what cannot be removed."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def make_scratch_folder(folder: Path) -> Iterator[Path]:
    """An empty folder for temporary files while an entry is made in `folder`, removed when the context ends.

    After a kill, the next process that opens the store removes both folders, if they are in its tmp/.
    """
    scratch = folder.with_name(f"{folder.name}.scratch")
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def list_files(folder: Path) -> list[str]:
    """The relative paths of the files below a folder, sorted, without the manifest."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if path != MANIFEST)


@dataclass(frozen=True)
class Artifact:
    """A stored model: its folder, and its manifest (kind, digest, bytes, parameters, build log, …)."""

    entry: Entry

    @property
    def folder(self) -> Path:
        return self.entry.folder

    @property
    def kind(self) -> str:
        return str(self.entry.manifest["kind"])

    @property
    def digest(self) -> str:
        """Digest of the files' contents."""
        return str(self.entry.manifest["digest"])

    @property
    def manifest(self) -> dict[str, Any]:
        return self.entry.manifest

    @property
    def loader(self) -> Callable[[Path, str], Any] | None:
        """The function that loads artifacts of this kind for a step; None if no step can start from them."""
        runtime = find_default_runtime(self.kind)
        return runtime[1].load_model if runtime else None

    def load(self, device: str) -> Any:
        """Loads the model as it is judged. Raises BuildError if no runtime loads artifacts of this kind."""
        loader = self.loader
        if loader is None:
            kinds = (
                runtime.default_for for runtime in load_plugins("runtime").values() if runtime.load_model
            )
            known = ", ".join(sorted(frozenset[str]().union(*kinds)))
            raise BuildError(f"{self.folder}: an artifact of unknown kind {self.kind}; known: {known}")
        return loader(self.folder, device)
