"""Takes entries out of a store, the least recently used first.

Never what a baseline refers to (its artifacts, what those were built from, their outcomes, its splits), never
what a running process uses, never what is being made.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from slimgate.errors import DataError
from slimgate.store.holds import forget_use, held, moment_of_holds
from slimgate.store.store import DAMAGED, passing_name, remove
from slimgate.store.store_listing import Stored, age
from slimgate.store.store_refusals import writing

DAY = 24 * 60 * 60


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
    root: Path, entries: Sequence[Stored], limits: Limits, kept: Collection[str], *, dry_run: bool = False
) -> Pruned:
    """Removes entries until the limits hold. kept: names of those that stay whatever the limits say."""
    result = Pruned([], [], [])
    left = sum(one.bytes for one in entries)
    for one in sorted(entries, key=age, reverse=True):
        if not _wanted_away(one, left, limits):
            continue
        if one.name in kept:
            result.kept.append(one)
        elif not _removed(root, one, dry_run=dry_run):
            result.used.append(one)
        else:
            result.removed.append(one)
            left -= one.bytes
    return result


def _wanted_away(entry: Stored, bytes_left: int, limits: Limits) -> bool:
    old = limits.older_than_days is not None and age(entry) > limits.older_than_days * DAY
    return old or (limits.max_bytes is not None and bytes_left > limits.max_bytes)


def _removed(root: Path, entry: Stored, *, dry_run: bool) -> bool:
    """Whether it could be removed: nobody makes it anew, and nobody uses it."""
    key_lock = FileLock(root / "locks" / f"{entry.kind}-{entry.key}.lock", timeout=0)
    gone = root / "tmp" / passing_name(entry.kind, entry.key)
    with writing(root):
        try:
            with key_lock, moment_of_holds(root):
                if entry.name in held(root):
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
