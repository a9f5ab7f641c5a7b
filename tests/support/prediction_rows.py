"""Prediction files for tests: a table of columns, written in every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Columns = Mapping[str, Sequence[Any]]


def write_predictions(path: Path, columns: Columns) -> Path:
    """Writes the columns in the format of the path's extension."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerow(columns)
            writer.writerows(row.values() for row in rows)
    return path


def make_turned_rows(rows: int, *, lost: int, won: int = 0) -> tuple[Columns, Columns]:
    """Teacher and variant over two classes: they differ in the first `lost` and the last `won` rows."""
    labels = ["yes" if i % 2 else "no" for i in range(rows)]
    other = ["no" if label == "yes" else "yes" for label in labels]
    ids = [f"r{i}" for i in range(rows)]
    unchanged = rows - won
    teacher = {"id": ids, "label": labels, "prediction": labels[:unchanged] + other[unchanged:]}
    return teacher, {**teacher, "prediction": other[:lost] + labels[lost:]}


def shuffle_rows(columns: Columns, seed: int = 0) -> Columns:
    """The same rows in another order."""
    order = np.random.default_rng(seed).permutation(len(columns["id"]))
    return {name: [values[i] for i in order] for name, values in columns.items()}
