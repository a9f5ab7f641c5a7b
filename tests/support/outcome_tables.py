"""Writes outcome files as a run does, of a classification and of a task with its own numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Shares = Sequence[Sequence[float]]
CLASSES = ("cat", "dog", "owl")


def write_class_answers(
    path: Path, labels: Sequence[int], shares: Shares, *, ids: Sequence[str] | None = None
) -> Path:
    """Writes id, label, prediction (the most probable class) and p_0 …. ids: by default r0, r1, …"""
    table: dict[str, Any] = {
        "id": list(ids or (f"r{k}" for k in range(len(labels)))),
        "label": list(labels),
        "prediction": [max(range(len(row)), key=row.__getitem__) for row in shares],
    }
    table |= {f"p_{k}": [row[k] for row in shares] for k in range(len(shares[0]))}
    return _write_table(path, table, {"slimgate.classes": json.dumps(CLASSES)})


def write_values(path: Path, *, given_columns: Sequence[str] = (), **columns: Sequence[Any]) -> Path:
    """Writes a task's own columns. given_columns: those that belong to the rows, not to the model."""
    rows = len(next(iter(columns.values())))
    table = {"id": [f"r{k}" for k in range(rows)], "group": [0] * rows, **columns}
    return _write_table(path, table, {"slimgate.given": json.dumps(given_columns)})


def _write_table(path: Path, columns: dict[str, Any], metadata: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path
