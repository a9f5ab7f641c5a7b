"""Which entries of a store records refer to: what baselines need stays when the store is pruned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from slimgate.record import RunRecord
from slimgate.record.files import RECORD, Kept, read_record_file, read_records_in
from slimgate.store.prune import Stored


def baselines_at(paths: Iterable[Path]) -> list[Kept]:
    """The records at paths: a run.json, its folder, or a folder of baselines. Raises DataError for none."""
    runs: list[Kept] = []
    for path in paths:
        is_run = not path.is_dir() or (path / RECORD).is_file()
        runs += (not is_run and read_records_in(path)) or [read_record_file(path)]
    return runs


def find_referred(records: Iterable[RunRecord], entries: Sequence[Stored]) -> frozenset[str]:
    """Names of the entries that records refer to: artifacts and what they came from, outcomes, splits."""
    records = list(records)
    digests = {model.artifact.digest for record in records for model in record.variants if model.artifact}
    splits = {split.digest for record in records for split in record.task.splits.values()}
    _add_parents(digests, entries)
    return frozenset(
        entry.name
        for entry in entries
        if entry.manifest.get("digest") in digests
        or entry.manifest.get("artifact") in digests
        or (entry.kind == "splits" and not splits.isdisjoint(_split_digests(entry)))
    )


def _add_parents(digests: set[str], entries: Sequence[Stored]) -> None:
    """Adds, at any remove, what artifacts were built from: its key is needed to find them again."""
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


def _split_digests(entry: Stored) -> set[str]:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        splits = json.loads((entry.folder / "splits.json").read_text("utf-8"))
        return {str(report["digest"]) for report in splits["splits"].values()}
    return set()
