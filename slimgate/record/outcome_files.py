"""Writes and reads outcomes as parquet files.

Columns: `id`; for classes `label`, `prediction` and `p_0 … p_k`; `group`, the task's own columns, `answer`.
"""

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

# Keys of the file's metadata. VALUES: the names of the task's own columns. The other keys hold the fields
# `classes`, `strays`, `positive` and `given` of Outcomes.
CLASSES = "slimgate.classes"
STRAYS = "slimgate.strays"
POSITIVE = "slimgate.positive"
VALUES = "slimgate.values"
GIVEN_COLUMNS = "slimgate.given"
ANSWER = "answer"
_RESERVED = ("id", "label", "prediction", "group", ANSWER)


def write_outcomes(outcomes: Outcomes, path: Path) -> None:
    """Writes a file. The schema's metadata has the names of the classes and of the task's own columns.

    Raises MeasureError if a column of the task has a name that the file uses for something else.
    """
    reserved = sorted(name for name in outcomes.values if name in _RESERVED or _is_probability(name))
    if reserved:
        raise MeasureError(
            f"outcomes: a task's own values are called {', '.join(reserved)}, but outcome files use these "
            f"names themselves ({', '.join(_RESERVED)}, p_0, p_1, …); give them other names"
        )
    columns: dict[str, Any] = {"id": outcomes.ids.tolist()}  # pyarrow before 26 does not read StringDType
    metadata = {VALUES: json.dumps(list(outcomes.values)), GIVEN_COLUMNS: json.dumps(outcomes.given)}
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
    """Reads a file of `write_outcomes`. Returns ClassOutcomes if the file has predictions."""
    table = pq.read_table(path)
    names = table.column_names
    columns: dict[str, Any] = {
        "ids": np.asarray(table["id"].to_pylist(), dtype=np.str_),
        "values": {name: _read_floats(table, name) for name in _read_list(table, VALUES)},
        "given": tuple(_read_list(table, GIVEN_COLUMNS)),
        "answers": np.asarray(table[ANSWER].to_pylist(), dtype=np.str_) if ANSWER in names else None,
        "groups": table["group"].to_numpy().astype(np.int64) if "group" in names else None,
    }
    if "prediction" not in names:
        return Outcomes(**columns)
    metadata = table.schema.metadata or {}
    return ClassOutcomes(
        **columns,
        strays=json.loads(metadata.get(STRAYS.encode(), b"0")),
        positive=json.loads(metadata.get(POSITIVE.encode(), b"null")),
        labels=table["label"].to_numpy().astype(np.int64),
        predictions=table["prediction"].to_numpy().astype(np.int64),
        classes=tuple(_read_list(table, CLASSES)),
        probabilities=_read_probabilities(table, [n for n in names if _is_probability(n)]),
    )


def _is_probability(name: str) -> bool:
    return name.startswith("p_") and name[2:].isdigit()


def _read_list(table: pa.Table, key: str) -> list[str]:
    values: list[str] = json.loads((table.schema.metadata or {}).get(key.encode(), b"[]"))
    return values


def _read_floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _read_probabilities(table: pa.Table, names: Sequence[str]) -> Floats | None:
    if not names:
        return None
    ordered = sorted(names, key=lambda name: int(name[2:]))
    return np.stack([_read_floats(table, name) for name in ordered], axis=1)
