"""`slimgate store ls | verify | prune`: lists the store, checks it, and frees space in it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate.cli.parser import add_store, choose_store_root

if TYPE_CHECKING:
    from slimgate.store.prune import StoredEntry

DESCRIPTION = """\
ls prints one line per entry with kind, key, origin, size and last use. verify reads every file and names
damaged entries; the next run that needs a damaged entry sets it aside and builds it again. prune removes
entries, the least recently used first, until all were used within --older-than days and fit into --max-size.
Entries that a baseline refers to, or that a running process uses, stay. See docs/store.md. Exit codes: 0
done; 1 verify found damage; 4 wrong usage or input.
"""
BASELINES = Path("reports/baselines")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument("action", choices=("ls", "verify", "prune"), help="Action to perform")
    add_store(parser)
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        help="Largest size of the store after prune, such as 5GB or 500MB; 1 GB = 1024³ bytes",
    )
    parser.add_argument(
        "--older-than", type=float, metavar="DAYS", help="Prune entries that were not used for this many days"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        nargs="+",
        metavar="RECORD",
        help="Keep the models of these records when pruning: a run.json, its folder or a folder of "
        f"baselines. The models of {BASELINES.as_posix()}, in the current folder and next to the store, are "
        "always kept",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="List what prune would remove, and remove nothing"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the subcommand and prints its result. Raises SlimgateError for wrong input."""
    from slimgate.store.prune import list_entries

    root = choose_store_root(options)
    limits = ("--max-size", options.max_size), ("--older-than", options.older_than)
    stated = [name for name, value in (*limits, ("--keep", options.keep)) if value is not None]
    stated += ["--dry-run"] if options.dry_run else []
    _check_options(options, stated)
    entries = list_entries(root)
    if options.action == "ls":
        return _print_entries(entries)
    if options.action == "verify":
        return _verify(entries)
    return _prune(root, entries, options)


def _check_options(options: argparse.Namespace, stated: Sequence[str]) -> None:
    from slimgate.errors import DataError

    if options.action != "prune" and stated:
        raise DataError(f"{stated[0]} is only for prune, not for {options.action}")
    if options.action == "prune" and options.max_size is None and options.older_than is None:
        raise DataError("prune: expected --max-size SIZE, --older-than DAYS, or both")
    if options.older_than is not None and not options.older_than >= 0:
        raise DataError(f"--older-than {options.older_than}: expected days, 0 or more")


def _print_lines(text: str) -> None:
    from slimgate._system.escape import write_lines

    write_lines(sys.stdout, text.splitlines())


def _print_entries(entries: Sequence[StoredEntry]) -> int:
    _print_lines(_format_table(entries))
    _print_lines(_format_total(entries))
    return 0


def _format_table(entries: Sequence[StoredEntry]) -> str:
    from tabulate import tabulate

    from slimgate._system.number_text import format_megabytes
    from slimgate.store.prune import describe_entry

    descriptions = {
        str(entry.manifest["digest"]): describe_entry(entry, {})
        for entry in entries
        if "digest" in entry.manifest
    }
    rows = [
        (
            entry.kind,
            entry.key,
            describe_entry(entry, descriptions),
            f"{format_megabytes(entry.bytes)} MB",
            datetime.fromtimestamp(entry.last_use, UTC).isoformat(" ", "minutes").removesuffix("+00:00"),
        )
        for entry in entries
    ]
    head = ["kind", "key", "of", "size", "last use (UTC)"]
    if not rows:
        return ""
    return tabulate(rows, head, disable_numparse=True, colalign=("left",) * 3 + ("right", "left"))


def _format_total(entries: Sequence[StoredEntry]) -> str:
    from slimgate._system.number_text import format_count, format_megabytes

    size = format_megabytes(sum(entry.bytes for entry in entries))
    return f"{format_count(len(entries), 'entry', 'entries')}, {size} MB"


def _verify(entries: Sequence[StoredEntry]) -> int:
    from slimgate.store.prune import find_damaged
    from slimgate.store.store import DAMAGED

    read = [entry for entry in entries if entry.kind != DAMAGED]
    damaged = 0
    for entry, damage in find_damaged(read):
        damaged += 1
        _print_lines(f"{entry.folder.as_posix()}: {damage}")
    aside = f"; {len(entries) - len(read)} set aside before" if len(entries) > len(read) else ""
    _print_lines(f"{_format_total(read)}: {damaged or 'none'} damaged{aside}")
    return int(damaged > 0)


def _prune(root: Path, entries: Sequence[StoredEntry], options: argparse.Namespace) -> int:
    from slimgate.record.store_use import find_needed_entries, read_baselines
    from slimgate.store.prune import Limits, parse_size, prune
    from slimgate.store.store import Store

    size = None if options.max_size is None else parse_size(options.max_size)
    folders = dict.fromkeys(folder.resolve() for folder in (BASELINES, root.resolve().parent / BASELINES))
    paths = [*(folder for folder in folders if any(folder.rglob("run.json"))), *(options.keep or ())]
    referred = find_needed_entries([record.record for record in read_baselines(paths)], entries)
    if not options.dry_run:
        Store(root)  # this removes files of killed processes
    done = prune(root, entries, Limits(size, options.older_than), referred, dry_run=options.dry_run)
    if done.removed:
        _print_lines(_format_table(done.removed))
    for stays, why in ((done.protected, "a baseline refers to it"), (done.used, "a running process uses it")):
        if stays:
            _print_lines(f"{_format_total(stays)}, stay: {why}")
    verb = "would be removed" if options.dry_run else "removed"
    left = [entry for entry in entries if entry not in done.removed]
    _print_lines(f"{_format_total(done.removed)}, {verb}; left: {_format_total(left)}")
    return 0
