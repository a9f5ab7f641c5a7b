"""The files of a record of judged files: their paths and digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slimgate._system.escape import escape
from slimgate.record.run import RunRecord
from slimgate.record.words import format_count

_SHA256_DIGITS = 64


def describe_files(record: RunRecord) -> Iterator[str]:
    """`teacher.csv (SHA-256 6f1c…)`; `runs/base (digest 6f1c…)` for a folder; empty without digests."""
    files = record.task.source.get("files")
    if isinstance(files, Mapping):
        for name, digest in files.items():
            kind = "SHA-256" if len(digest) == _SHA256_DIGITS else "digest"
            yield f"{escape(name)} ({kind} {escape(digest[:12])})"


def describe_source(record: RunRecord) -> str:
    """The files of tools, as the command or the suite names them."""
    task, source = record.task, record.task.source
    name = escape(source.get("name", "files"))
    files = list(describe_files(record))
    if not files:
        targets = (f"target {escape(target)}" for target in source.get("targets", []))
        files = [f"base {escape(source.get('base', 'not named'))}", *targets]
    classes = f" {format_count(len(task.labels), 'class', 'classes')}." if task.labels else ""
    return f"Judged from {name}: {', '.join(files)}.{classes}"
