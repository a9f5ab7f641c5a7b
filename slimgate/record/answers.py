"""The answers of a model on each gate row, read from its outcomes file, for any task.

    answers = read_answers(folder / "outcomes" / "int8.parquet")
    answers.read_answer(17)      # the answer on the row in place 17

A classification has columns label, prediction and p_0 … p_k; other tasks have numbers under their own names,
and perhaps `answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slimgate._system.json_text import parse_texts
from slimgate.errors import DataError
from slimgate.record.run import AnswerFacts, RunRecord

MOST_PROBABLE = 3
_ROLES = frozenset({"id", "label", "prediction", "group", "answer"})
_RIGHT = "right"

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """The outcomes of one model. table: one row per gate row."""

    model: str
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        return [str(value) for value in self.table["id"].to_pylist()]

    @cached_property
    def given_columns(self) -> tuple[str, ...]:
        """Columns of numbers that belong to the rows, not to the model."""
        return tuple(self._read_metadata("given"))

    @cached_property
    def values(self) -> tuple[str, ...]:
        """Columns of numbers that the task measured on the model."""
        known = {*_ROLES, *self.probability_columns, *self.given_columns, _RIGHT}
        return tuple(
            field.name for field in self.table.schema if field.name not in known and _is_number(field)
        )

    @cached_property
    def probability_columns(self) -> list[str]:
        """p_0, p_1, … in order."""
        columns = [name for name in self.table.column_names if name.startswith("p_") and name[2:].isdigit()]
        return sorted(columns, key=lambda name: int(name[2:]))

    @cached_property
    def right(self) -> npt.NDArray[np.bool_] | None:
        """(rows,) whether the answer is right; None if answers are neither right nor wrong."""
        names = self.table.column_names
        if "prediction" in names and "label" in names:
            return np.asarray(self.read_numbers("prediction") == self.read_numbers("label"))
        return self.read_numbers(_RIGHT) > 0.5 if _RIGHT in names else None

    @cached_property
    def probabilities(self) -> Numbers | None:
        """(rows, classes); None if only predictions are known."""
        if not self.probability_columns:
            return None
        return np.stack([self.read_numbers(name) for name in self.probability_columns], axis=1)

    def read_numbers(self, name: str) -> Numbers:
        """A column: (rows,)."""
        return np.asarray(self.table[name].to_numpy(), dtype=np.float64)

    def format_label(self, row: int) -> str | None:
        """The right answer of a row, if the outcomes hold it."""
        return self._name_class(self._read_cell("label", row))

    def format_answer(self, row: int) -> str | None:
        """The model's answer on a row: in words, or the class; None if it gave numbers only."""
        answer = self._read_cell("answer", row)
        return self._name_class(self._read_cell("prediction", row)) if answer is None else str(answer)

    def read_given_numbers(self, row: int) -> dict[str, float]:
        """The row's own numbers."""
        return {name: float(self._read_cell(name, row)) for name in self.given_columns}

    def read_answer(self, row: int) -> AnswerFacts:
        """The answer on the row in that place."""
        label = self._read_cell("label", row)
        shares = [float(self._read_cell(name, row)) for name in self.probability_columns]
        order = sorted(range(len(shares)), key=lambda k: -shares[k])[:MOST_PROBABLE]
        return AnswerFacts(
            model=self.model,
            prediction=self.format_answer(row),
            right=None if self.right is None else bool(self.right[row]),
            label_probability=shares[label] if shares and label is not None else None,
            top=[(str(self._name_class(k)), shares[k]) for k in order],
            values={name: float(self._read_cell(name, row)) for name in self.values},
        )

    def _read_cell(self, name: str, row: int) -> Any:
        return self.table[name][row].as_py() if name in self.table.column_names else None

    def _name_class(self, index: int | None) -> str | None:
        if index is None:
            return None
        return self._classes[index] if index < len(self._classes) else str(index)

    @cached_property
    def _classes(self) -> list[str]:
        return self._read_metadata("classes")

    def _read_metadata(self, key: str) -> list[str]:
        metadata = self.table.schema.metadata or {}
        try:
            return parse_texts(metadata.get(f"slimgate.{key}".encode(), b"[]"))
        except ValueError as error:
            raise DataError(
                f"the outcomes of {self.model} have a wrong value of slimgate.{key} in the metadata of their "
                f"file: {error}"
            ) from error


def read_answers(path: Path) -> Answers:
    """The outcomes of the model that the file is named after. Raises DataError if it cannot be read."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: no outcomes of a model could be read ({error})") from error
    if "id" not in table.column_names:
        raise DataError(f"{path}: columns {', '.join(table.column_names)} were given, expected a column id")
    return Answers(path.stem, table)


def read_answers_of_record(record: RunRecord, folder: Path) -> list[Answers]:
    """The outcomes in the folder of a record, the teacher's first, then every judged variant's.

    Files of variants that the suite no longer has are not read. Empty if the teacher's file is missing.
    """
    return [read_answers(path) for path in find_outcome_files(record, folder)]


def find_outcome_files(record: RunRecord, folder: Path) -> list[Path]:
    """The files that `read_answers_of_record` reads, for callers that read one at a time to save memory."""
    teacher, *variants = record.variants
    names = [teacher.name, *(model.name for model in variants if model.quality or model.behaviour)]
    paths = [folder / "outcomes" / f"{name}.parquet" for name in names]
    return [path for path in paths if path.exists()] if paths[0].exists() else []


def _is_number(field: pa.Field) -> bool:
    kind = field.type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))
