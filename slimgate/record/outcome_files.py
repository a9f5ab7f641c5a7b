"""Outcomes as parquet: `id`, then `label, prediction, p_0 … p_k` or a task's own columns, and `group`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimgate.errors import MeasureError
from slimgate.outcomes import ClassOutcomes, Floats, Outcomes

CLASSES = "slimgate.classes"
STRAYS = "slimgate.strays"
POSITIVE = "slimgate.positive"
VALUES = "slimgate.values"
GIVEN = "slimgate.given"
ANSWER = "answer"
_TAKEN = ("id", "label", "prediction", "group", ANSWER)


def write_outcomes(outcomes: Outcomes, path: Path) -> None:
    """Writes the columns; names of classes and of the task's own columns stand in the schema's metadata.

    Raises MeasureError for a task's column of a name that the file has for something else.
    """
    reserved = sorted(name for name in outcomes.values if name in _TAKEN or _is_probability(name))
    if reserved:
        raise MeasureError(
            f"outcomes: a task's own values are called {', '.join(reserved)}, which the file has for "
            f"something else ({', '.join(_TAKEN)}, p_0, p_1, …); give them other names"
        )
    columns: dict[str, Any] = {"id": outcomes.ids.tolist()}  # pyarrow reads no StringDType below 26
    metadata = {VALUES: json.dumps(list(outcomes.values)), GIVEN: json.dumps(outcomes.given)}
    if isinstance(outcomes, ClassOutcomes):
        columns |= {"label": outcomes.labels, "prediction": outcomes.predictions}
        metadata |= {CLASSES: json.dumps(outcomes.classes), STRAYS: json.dumps(outcomes.strays)}
        if outcomes.positive is not None:
            metadata[POSITIVE] = json.dumps(outcomes.positive)
    if outcomes.groups is not None:
        columns["group"] = outcomes.groups
    if isinstance(outcomes, ClassOutcomes) and outcomes.probabilities is not None:
        columns |= {f"p_{k}": outcomes.probabilities[:, k] for k in range(len(outcomes.classes))}
    columns |= outcomes.values
    if outcomes.answers is not None:
        columns[ANSWER] = outcomes.answers.tolist()
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)


def read_outcomes(path: Path) -> Outcomes:
    """Reads what `write_outcomes` wrote: ClassOutcomes where there are labels and predictions."""
    table = pq.read_table(path)
    names = table.column_names
    columns: dict[str, Any] = {
        "ids": np.asarray(table["id"].to_pylist(), dtype=np.str_),
        "values": {name: _floats(table, name) for name in _read_list(table, VALUES)},
        "given": tuple(_read_list(table, GIVEN)),
        "answers": np.asarray(table[ANSWER].to_pylist(), dtype=np.str_) if ANSWER in names else None,
        "groups": table["group"].to_numpy().astype(np.int64) if "group" in names else None,
    }
    if "prediction" not in names:
        return Outcomes(**columns)
    stated = table.schema.metadata or {}
    return ClassOutcomes(
        **columns,
        strays=json.loads(stated.get(STRAYS.encode(), b"0")),
        positive=json.loads(stated.get(POSITIVE.encode(), b"null")),
        labels=table["label"].to_numpy().astype(np.int64),
        predictions=table["prediction"].to_numpy().astype(np.int64),
        classes=tuple(_read_list(table, CLASSES)),
        probabilities=_probabilities(table, [n for n in names if _is_probability(n)]),
    )


def _is_probability(name: str) -> bool:
    return name.startswith("p_") and name[2:].isdigit()


def _read_list(table: pa.Table, key: str) -> list[str]:
    values: list[str] = json.loads((table.schema.metadata or {}).get(key.encode(), b"[]"))
    return values


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _probabilities(table: pa.Table, names: Sequence[str]) -> Floats | None:
    if not names:
        return None
    ordered = sorted(names, key=lambda name: int(name[2:]))
    return np.stack([_floats(table, name) for name in ordered], axis=1)
