"""Outcomes: what a model answered on each gate row. Numbers only; written and read as parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slimgate.errors import MeasureError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One row a gate example, in the order of the gate split.

    ids: (rows,) str; labels, predictions: (rows,) int64 indices into `classes`; probabilities:
    (rows, classes) float64, each row summing to 1, or None where a tool gives predictions only;
    groups: (rows,) int64, equal for rows that are not independent (one file, document or user), or None.
    Raises MeasureError where shapes disagree or a probability is not finite.
    """

    ids: npt.NDArray[np.str_]
    labels: Ints
    predictions: Ints
    classes: tuple[str, ...]
    probabilities: Floats | None = None
    groups: Ints | None = None

    def __post_init__(self) -> None:
        rows = len(self.ids)
        for name in ("labels", "predictions", "groups"):
            column = getattr(self, name)
            if column is not None and column.shape != (rows,):
                raise MeasureError(f"outcomes: {name} has shape {column.shape}, expected ({rows},)")
        if self.probabilities is None:
            return
        if self.probabilities.shape != (rows, len(self.classes)):
            raise MeasureError(
                f"outcomes: probabilities have shape {self.probabilities.shape}, "
                f"expected ({rows}, {len(self.classes)})"
            )
        bad = ~np.isfinite(self.probabilities).all(axis=1)
        if bad.any():
            raise MeasureError(
                f"outcomes: {int(bad.sum())} of {rows} rows have a probability that is NaN or infinite "
                f"(first: row {self.ids[bad][0]}): the model is broken, nothing can be judged from it"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ints) -> Outcomes:
        """The outcomes of the given row positions, in the given order."""
        return Outcomes(
            ids=self.ids[rows],
            labels=self.labels[rows],
            predictions=self.predictions[rows],
            classes=self.classes,
            probabilities=None if self.probabilities is None else self.probabilities[rows],
            groups=None if self.groups is None else self.groups[rows],
        )


def write_outcomes(outcomes: Outcomes, path: Path) -> None:
    """Writes `id, label, prediction, p_0 … p_k` (and `group`); class names stand in the schema's metadata."""
    columns: dict[str, object] = {
        "id": outcomes.ids,
        "label": outcomes.labels,
        "prediction": outcomes.predictions,
    }
    if outcomes.groups is not None:
        columns["group"] = outcomes.groups
    if outcomes.probabilities is not None:
        for k in range(len(outcomes.classes)):
            columns[f"p_{k}"] = outcomes.probabilities[:, k]
    table = pa.table(columns)
    metadata = {"slimgate.classes": json.dumps(outcomes.classes)}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def read_outcomes(path: Path) -> Outcomes:
    """Reads what `write_outcomes` wrote."""
    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    names = table.column_names
    classes = tuple(json.loads(metadata.get(b"slimgate.classes", b"[]")))
    return Outcomes(
        ids=np.asarray(table["id"].to_pylist(), dtype=np.str_),
        labels=table["label"].to_numpy().astype(np.int64),
        predictions=table["prediction"].to_numpy().astype(np.int64),
        classes=classes,
        probabilities=_probabilities(table, [n for n in names if n.startswith("p_")]),
        groups=table["group"].to_numpy().astype(np.int64) if "group" in names else None,
    )


def _probabilities(table: pa.Table, names: Sequence[str]) -> Floats | None:
    if not names:
        return None
    ordered = sorted(names, key=lambda name: int(name[2:]))
    return np.stack([table[name].to_numpy() for name in ordered], axis=1).astype(np.float64)


def same_rows(teacher: Outcomes, variant: Outcomes) -> None:
    """Raises MeasureError unless both hold the same rows with the same labels, in the same order."""
    if len(teacher) != len(variant) or not np.array_equal(teacher.ids, variant.ids):
        raise MeasureError(
            f"outcomes are not paired: {len(teacher)} teacher rows and {len(variant)} variant rows, "
            "expected the same ids in the same order"
        )
    if teacher.classes != variant.classes or not np.array_equal(teacher.labels, variant.labels):
        raise MeasureError("outcomes are not paired: the two hold other labels for the same ids")
