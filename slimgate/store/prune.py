"""Lists the entries of a store, and removes the least recently used entries.

A prune never removes an entry that a running process uses or makes, or that a baseline needs: the baseline's
artifacts, the artifacts that they were built from, their outcomes, and its splits.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from filelock import FileLock, Timeout

from slimgate.errors import DataError
from slimgate.plugins.base import Json
from slimgate.store.holds import FOLDERS, forget_use, list_used_entries, lock_holds, read_last_use
from slimgate.store.seal import Damaged, check_entry, read_manifest
from slimgate.store.store import DAMAGED, UNFINISHED, make_temporary_name, remove, writing

# Folders of a store that hold no entries. record/row_use.py writes row_use.
_OTHER_FOLDERS = ("locks", "tmp", "row_use", UNFINISHED, *FOLDERS)
DAY = 24 * 60 * 60
_SIZE = re.compile(r"(?P<number>\d+\.?\d*|\.\d+)\s*((?P<unit>[kmgt])i?)?b?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class StoredEntry:
    """An entry of a store, or a damaged entry that was set aside (kind "damaged").

    manifest: empty if the entry is damaged. bytes: the size of all its files. last_use: in seconds since the
    epoch; the time when it was made if no use is recorded.
    """

    kind: str
    key: str
    folder: Path
    manifest: Json
    bytes: int
    last_use: float

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.key}"


def list_entries(root: Path) -> list[StoredEntry]:
    """Every entry, sorted by kind and key. Raises DataError if the folder is not a store."""
    if not all((root / name).exists() for name in ("locks", "tmp", ".gitignore")):
        raise DataError(
            f"{root}: there is no store, expected a folder that slimgate made; name it with --store DIR"
        )
    kinds = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name not in _OTHER_FOLDERS]
    return [entry for kind in kinds for path in sorted(kind.iterdir()) if (entry := _read_entry(root, path))]


def _read_entry(root: Path, folder: Path) -> StoredEntry | None:
    """Reads one entry; None if another process removes it meanwhile."""
    name = f"{folder.parent.name}/{folder.name}"
    try:
        manifest = read_manifest(folder, name)
    except (Damaged, OSError):
        manifest = {}
    try:
        size = sum(path.lstat().st_size for path in (folder, *folder.rglob("*")) if not path.is_dir())
        used_at = (
            read_last_use(root, name)
            or (datetime.fromisoformat(manifest["created"]).timestamp() if manifest else None)
            or folder.lstat().st_mtime
        )
    except FileNotFoundError:
        return None
    return StoredEntry(
        kind=folder.parent.name,
        key=folder.name,
        folder=folder,
        manifest=manifest,
        bytes=size,
        last_use=used_at,
    )


def find_damaged(entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
    """Reads every file, and yields each entry whose files have changed since it was made, and how.

    It skips the entries that were set aside, because they are known to be damaged.
    """
    for entry in entries:
        if entry.kind == DAMAGED:
            continue
        try:
            check_entry(entry.folder, entry.name)
        except Damaged as error:
            if entry.folder.exists():  # else another process removed it meanwhile
                yield entry, str(error)
        except OSError as error:
            yield entry, f"it cannot be read ({error.strerror})"


def describe_entry(entry: StoredEntry, artifacts: Mapping[str, str]) -> str:
    """Describes the content of an entry. artifacts: digest of an artifact -> its description."""
    manifest = entry.manifest
    if "step" in manifest:
        return f"{manifest['label']}: {manifest['step']}" if "label" in manifest else str(manifest["step"])
    if "artifact" in manifest:
        artifact = artifacts.get(manifest["artifact"], "of an artifact that is gone")
        return f"{manifest.get('rows')} rows, {artifact}"
    if isinstance(rows := manifest.get("rows"), dict):
        return f"{manifest.get('source')}: {', '.join(f'{n} {split}' for split, n in rows.items())}"
    return f"{rows} rows" if rows else ""


def compute_age_seconds(entry: StoredEntry) -> float:
    """Seconds since the last use of an entry; 0 if the clock was set back meanwhile."""
    return max(0.0, time.time() - entry.last_use)


@dataclass(frozen=True)
class Limits:
    """The limits of a store. None: no such limit."""

    max_bytes: int | None = None
    older_than_days: float | None = None


@dataclass(frozen=True)
class PruneResult:
    """The entries over the limits: those that a prune removed or would remove, and those that stay.

    used: a process uses them. protected: a baseline needs them.
    """

    removed: list[StoredEntry]
    used: list[StoredEntry]
    protected: list[StoredEntry]


def prune(
    root: Path,
    entries: Sequence[StoredEntry],
    limits: Limits,
    protected: Collection[str],
    *,
    dry_run: bool = False,
) -> PruneResult:
    """Removes entries, the least recently used first, until the limits hold.

    protected: names of entries that always stay.
    """
    result = PruneResult([], [], [])
    remaining_bytes = sum(entry.bytes for entry in entries)
    for entry in sorted(entries, key=compute_age_seconds, reverse=True):
        is_old = (
            limits.older_than_days is not None and compute_age_seconds(entry) > limits.older_than_days * DAY
        )
        if not (is_old or (limits.max_bytes is not None and remaining_bytes > limits.max_bytes)):
            continue
        if entry.name in protected:
            result.protected.append(entry)
        elif not _remove_entry(root, entry, dry_run=dry_run):
            result.used.append(entry)
        else:
            result.removed.append(entry)
            remaining_bytes -= entry.bytes
    return result


def _remove_entry(root: Path, entry: StoredEntry, *, dry_run: bool) -> bool:
    """Removes an entry, unless a process makes or uses it. Returns False if it is in use."""
    key_lock = FileLock(root / "locks" / f"{entry.kind}-{entry.key}.lock", timeout=0)
    temporary = root / "tmp" / make_temporary_name(entry.kind, entry.key)
    with writing(root):
        try:
            with key_lock, lock_holds(root):
                if entry.name in list_used_entries(root):
                    return False
                if not dry_run:
                    os.rename(entry.folder, temporary)
                    forget_use(root, entry.name)
        except Timeout:
            return False
        except FileNotFoundError:  # another prune was faster
            return True
        finally:
            if entry.kind == DAMAGED:  # its name is never used again, so its lock is not needed
                Path(key_lock.lock_file).unlink(missing_ok=True)
        remove(temporary)
    return True


def parse_size(text: str) -> int:
    """Converts "5GB", "500 MB", "1.5GiB" or "4096" to bytes; 1 GB = 1024³. Raises DataError."""
    if match := _SIZE.fullmatch(text.strip()):
        return int(Decimal(match["number"]) * 1024 ** " KMGT".find((match["unit"] or " ").upper()))
    raise DataError(f'--max-size "{text}": expected a size such as 5GB, 500MB or 4096')
