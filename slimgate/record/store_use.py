"""Finds the entries of a store that baselines need, so that a prune keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from slimgate.record.files import RECORD, StoredRecord, read_record_file, read_records_in
from slimgate.record.run import RunRecord
from slimgate.store.prune import StoredEntry


def read_baselines(paths: Iterable[Path]) -> list[StoredRecord]:
    """Reads the records at paths: a run.json, its folder, or a folder of baselines.

    Raises DataError for a path without a record.
    """
    runs: list[StoredRecord] = []
    for path in paths:
        is_run = not path.is_dir() or (path / RECORD).is_file()
        runs_in_folder = [] if is_run else read_records_in(path)
        runs += runs_in_folder or [read_record_file(path)]
    return runs


def find_needed_entries(records: Iterable[RunRecord], entries: Sequence[StoredEntry]) -> frozenset[str]:
    """Names of the entries that records need: artifacts and their parents, outcomes, splits."""
    records = list(records)
    digests = {model.artifact.digest for record in records for model in record.variants if model.artifact}
    splits = {split.digest for record in records for split in record.task.splits.values()}
    _add_parents(digests, entries)
    return frozenset(
        entry.name
        for entry in entries
        if entry.manifest.get("digest") in digests
        or entry.manifest.get("artifact") in digests
        or (entry.kind == "splits" and not splits.isdisjoint(_read_split_digests(entry)))
    )


def _add_parents(digests: set[str], entries: Sequence[StoredEntry]) -> None:
    """Adds the digests of all ancestors of the artifacts, without which the artifacts are not found again."""
    parents = {
        entry.manifest["digest"]: entry.manifest.get("parents", ())
        for entry in entries
        if "digest" in entry.manifest
    }
    todo = list(digests)
    while todo:
        new = set(parents.get(todo.pop(), ())) - digests
        digests |= new
        todo += new


def _read_split_digests(entry: StoredEntry) -> set[str]:
    """The digests of the splits of an entry; empty if its splits.json cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        splits = json.loads((entry.folder / "splits.json").read_text("utf-8"))
        return {str(report["digest"]) for report in splits["splits"].values()}
    return set()
