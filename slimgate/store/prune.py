"""What a store holds, entry by entry, read without changing anything.

Takes entries out of a store, the least recently used first.

Never what a baseline refers to (its artifacts, what those were built from, their outcomes, its splits), never
what a running process uses, never what is being made.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from slimgate.errors import DataError
from slimgate.store.holds import FOLDERS, forget_use, held_entries, last_use, moment_of_holds
from slimgate.store.seal import Damaged, check_entry, read_manifest
from slimgate.store.store import DAMAGED, UNFINISHED, Json, passing_name, remove, writing

# folders of a store that hold no entries; record/looks_log.py writes looks
_NO_KINDS = ("locks", "tmp", "looks", UNFINISHED, *FOLDERS)
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Stored:
    """An entry, or one that was set aside (kind "damaged").

    manifest: empty where it is damaged. bytes: of all its files. used: its last use, in seconds since the
    epoch; where none was noted, when it was made.
    """

    kind: str
    key: str
    folder: Path
    manifest: Json
    bytes: int
    used: float

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.key}"


def list_entries(root: Path) -> list[Stored]:
    """Every entry, by kind and key. Raises DataError where there is no store."""
    if not all((root / name).exists() for name in ("locks", "tmp", ".gitignore")):
        raise DataError(
            f"{root}: there is no store, expected a folder that slimgate made; name it by --store DIR"
        )
    kinds = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name not in _NO_KINDS]
    return [entry for kind in kinds for path in sorted(kind.iterdir()) if (entry := _read_entry(root, path))]


def _read_entry(root: Path, folder: Path) -> Stored | None:
    """None of what is taken away meanwhile."""
    name = f"{folder.parent.name}/{folder.name}"
    try:
        manifest = read_manifest(folder, name)
    except (Damaged, OSError):
        manifest = {}
    try:
        size = sum(path.lstat().st_size for path in (folder, *folder.rglob("*")) if not path.is_dir())
        used = last_use(root, name) or _creation_time(manifest) or folder.lstat().st_mtime
    except FileNotFoundError:
        return None
    return Stored(folder.parent.name, folder.name, folder, manifest, size, used)


def _creation_time(manifest: Json) -> float | None:
    return datetime.fromisoformat(manifest["created"]).timestamp() if manifest else None


def damages(entries: Iterable[Stored]) -> Iterator[tuple[Stored, str]]:
    """The entries that are not as they were made, and what is wrong. Reads every file of all of them.

    What was set aside is known to be damaged, and is not among them.
    """
    for entry in entries:
        if entry.kind == DAMAGED:
            continue
        try:
            check_entry(entry.folder, entry.name)
        except Damaged as error:
            if entry.folder.exists():  # else it was pruned meanwhile
                yield entry, str(error)
        except OSError as error:
            yield entry, f"it cannot be read ({error.strerror})"


def describe_entry(entry: Stored, artifacts: Mapping[str, str]) -> str:
    """What an entry is of, in words. artifacts: what an artifact of that digest is of."""
    manifest = entry.manifest
    if "step" in manifest:
        return f"{manifest['told']}: {manifest['step']}" if "told" in manifest else str(manifest["step"])
    if "artifact" in manifest:
        return (
            f"{manifest.get('rows')} rows, "
            f"{artifacts.get(manifest['artifact'], 'of an artifact that is gone')}"
        )
    if isinstance(rows := manifest.get("rows"), dict):
        return f"{manifest.get('source')}: {', '.join(f'{n} {split}' for split, n in rows.items())}"
    return f"{rows} rows" if rows else ""


def describe_artifacts(entries: Iterable[Stored]) -> dict[str, str]:
    """What each artifact is of, by its digest."""
    return {
        str(entry.manifest["digest"]): describe_entry(entry, {})
        for entry in entries
        if "digest" in entry.manifest
    }


def day_and_time(seconds: float) -> str:
    """In UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "minutes").removesuffix("+00:00")


def age(entry: Stored, now: float | None = None) -> float:
    """Seconds since the last use; none below zero, where a clock was set back since."""
    return max(0.0, (time.time() if now is None else now) - entry.used)


@dataclass(frozen=True)
class Limits:
    """None: without that limit."""

    max_bytes: int | None = None
    older_than_days: float | None = None


@dataclass(frozen=True)
class Pruned:
    """What was removed (or would be); what stays though a limit wants it away, because it is used or kept."""

    removed: list[Stored]
    used: list[Stored]
    kept: list[Stored]


def prune(
    root: Path,
    entries: Sequence[Stored],
    limits: Limits,
    protected: Collection[str],
    *,
    dry_run: bool = False,
) -> Pruned:
    """Removes entries until the limits hold. protected: names of those that stay whatever the limits say."""
    result = Pruned([], [], [])
    left = sum(entry.bytes for entry in entries)
    for entry in sorted(entries, key=age, reverse=True):
        if not _wanted_away(entry, left, limits):
            continue
        if entry.name in protected:
            result.kept.append(entry)
        elif not _remove_entry(root, entry, dry_run=dry_run):
            result.used.append(entry)
        else:
            result.removed.append(entry)
            left -= entry.bytes
    return result


def _wanted_away(entry: Stored, bytes_left: int, limits: Limits) -> bool:
    old = limits.older_than_days is not None and age(entry) > limits.older_than_days * DAY
    return old or (limits.max_bytes is not None and bytes_left > limits.max_bytes)


def _remove_entry(root: Path, entry: Stored, *, dry_run: bool) -> bool:
    """Whether it could be removed: nobody makes it anew, and nobody uses it."""
    key_lock = FileLock(root / "locks" / f"{entry.kind}-{entry.key}.lock", timeout=0)
    gone = root / "tmp" / passing_name(entry.kind, entry.key)
    with writing(root):
        try:
            with key_lock, moment_of_holds(root):
                if entry.name in held_entries(root):
                    return False
                if not dry_run:
                    os.rename(entry.folder, gone)
                    forget_use(root, entry.name)
        except Timeout:
            return False
        except FileNotFoundError:  # another prune was faster
            return True
        finally:
            if entry.kind == DAMAGED:  # its name never comes again
                Path(key_lock.lock_file).unlink(missing_ok=True)
        remove(gone)
    return True


def size_of(text: str) -> int:
    """Bytes of "5GB", "500 MB", "1.5GiB", "4096"; 1 GB = 1024³. Raises DataError."""
    number = text.strip().upper().removesuffix("B").removesuffix("I").strip()
    power = "KMGT".find(number[-1:]) + 1 if number[-1:] else 0
    with suppress(ValueError, OverflowError):
        value = float(number[:-1] if power else number) * 1024**power
        if value >= 0:
            return int(value)
    raise DataError(f'--max-size "{text}": expected a size such as 5GB, 500MB or 4096')
