"""The content-addressed store of splits, artifacts, outcomes, and what a teacher answers on train rows.

    .slimgate/
        .gitignore              *
        splits/KEY/  artifacts/KEY/  outcomes/KEY/  teacher_answers/KEY/    an entry: its files, manifest.json
        locks/                  a lock per key
        tmp/                    entries that are being made

An entry appears whole or not at all: it is made in tmp/, its manifest (with the size of every file) is
written last, then the folder is renamed. What a killed process left in tmp/ is removed by the next one
that opens the store: nobody holds the lock of its key.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slimgate.errors import BuildError

Json = dict[str, Any]
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """A complete entry: its folder, its manifest, and whether it was there before."""

    folder: Path
    manifest: Json
    from_store: bool


class Store:
    """Entries by kind and key, under one root folder."""

    def __init__(self, root: Path, *, rebuild_before: str | None = None) -> None:
        """rebuild_before: what was made before that moment (as `moment` gives it) counts as missing."""
        self.root = root
        self._rebuild_before = rebuild_before
        try:
            for name in ("locks", "tmp"):
                (root / name).mkdir(parents=True, exist_ok=True)
            ignore = root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", "utf-8")
        except OSError as error:
            raise BuildError(
                f"store {root}: cannot be written ({error.strerror}); name another by --slimgate-store DIR"
            ) from error
        self._sweep()

    def _sweep(self) -> None:
        """Removes what killed processes left; an entry that is being made is locked, and stays."""
        for left in (self.root / "tmp").iterdir():
            name, _, _ = left.name.rpartition("-")
            with suppress(Timeout), FileLock(self.root / "locks" / f"{name}.lock", timeout=0):
                shutil.rmtree(left, ignore_errors=True)

    def find(self, kind: str, key: str) -> Entry | None:
        """The entry, where it is complete and not to be rebuilt."""
        folder = self.root / kind / key
        manifest = read_manifest(folder)
        if manifest is None or str(manifest["created"]) < (self._rebuild_before or ""):
            return None
        return Entry(folder, manifest, True)

    def make(self, kind: str, key: str, fill: Callable[[Path], Json]) -> Entry:
        """The entry, made by `fill` where it is missing.

        fill(folder) writes the entry's files into an empty folder and gives what the manifest shall say.
        One process makes it; others that ask meanwhile wait and take it.
        """
        found = self.find(kind, key)
        if found is not None:
            return found
        with FileLock(self.root / "locks" / f"{kind}-{key}.lock"):
            found = self.find(kind, key)
            if found is not None:
                return found
            return self._make(kind, key, fill)

    def _make(self, kind: str, key: str, fill: Callable[[Path], Json]) -> Entry:
        prefix = f"{kind}-{key}-"
        tmp = self.root / "tmp"
        for left in tmp.glob(prefix + "*"):
            shutil.rmtree(left, ignore_errors=True)
        work = tmp / f"{prefix}{os.getpid()}"
        work.mkdir()
        try:
            manifest = dict(fill(work), key=key, created=moment())
            manifest["sizes"] = {path: (work / path).stat().st_size for path in files_of(work)}
            (work / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), "utf-8")
            return Entry(self._publish(work, kind, key), manifest, False)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _publish(self, work: Path, kind: str, key: str) -> Path:
        final = self.root / kind / key
        final.parent.mkdir(exist_ok=True)
        if final.exists():
            old = work.with_name(work.name + ".old")
            os.replace(final, old)
            shutil.rmtree(old, ignore_errors=True)
        os.replace(work, final)
        return final


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


def read_manifest(folder: Path) -> Json | None:
    """The manifest of a complete entry; None where it is missing, unreadable, or a file has another size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        sizes = manifest["sizes"]
        whole = all((folder / path).stat().st_size == size for path, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def files_of(folder: Path) -> list[str]:
    """Relative names of the files below a folder, without the manifest, sorted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path != MANIFEST)
