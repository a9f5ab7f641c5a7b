"""Rows as tasks read them, the names of splits, and rows as the inputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate._system.names import normalize_group
from slimgate.plugins.base import Arrays

UNLABELLED, CALIBRATION, SELECTION = "unlabelled", "calibration", "selection"
CONFIRM, GATE = "confirm", "gate"
# The splits that every suite has.
SPLITS = ("train", CALIBRATION, SELECTION, GATE)
# The splits that only judge: no step may read them.
JUDGING = (CONFIRM, GATE)
# If a row could be in two splits, it is in the later one of these. The gate is last, so that its rows are the
# same with and without a split confirm.
SPLIT_ORDER = (UNLABELLED, "train", CALIBRATION, SELECTION, CONFIRM, GATE)


@dataclass(frozen=True)
class Rows:
    """Rows as a task reads them: a column `id` and the columns of the source."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def ids(self) -> list[str]:
        return list(self.table["id"].to_pylist())


def number_groups(rows: Rows, column: str | None) -> npt.NDArray[np.int64] | None:
    """Numbers the groups of rows.

    Args:
        rows: rows that have the column.
        column: the name of a column. Rows with the same value in it are a group; case and further blanks
            do not count, and 1.0 is 1.

    Returns:
        (rows,) a number for each row, the same for equal values; None without a column.
    """
    if column is None:
        return None
    values = rows.table[column].to_numpy(zero_copy_only=False).astype(str)
    names, number_of_row = np.unique(values, return_inverse=True)
    numbers = np.unique([normalize_group(str(name)) for name in names], return_inverse=True)[1]
    return np.asarray(numbers[number_of_row], dtype=np.int64)


@dataclass(frozen=True)
class TaskFacts:
    """What a task learns from the rows. All models of a suite share it."""

    classes: tuple[str, ...]


class Encoded(Protocol):
    """Tokenised rows, from which batches are made.

    An encoded row may be only a part of a row, such as a window of a long document. Then `row_of` has the row
    of each part, in ascending order, and the scores of the parts of a row are added.

    It may also have these attributes:

    tokens: how many tokens all rows have, if that is not the sum of `lengths`.
    timed_batch(positions, tokens): the inputs of a timed call, if that is not one forward pass of `batch`.
    """

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(rows,) how many tokens each row has."""

    @property
    def row_of(self) -> npt.NDArray[np.int64] | None:
        """(encoded rows,) the row that each is a part of; None if each is a row by itself."""

    def take(self, positions: Sequence[int]) -> Encoded:
        """Selects rows by position.

        Args:
            positions: the positions of encoded rows, in the order of the result.

        Returns:
            These rows, of the same class.
        """

    def join(self, more: Self) -> Encoded:
        """Appends more rows. slimgate calls it to add the rows of a transfer set to those of `train`.

        Args:
            more: rows of the same class, encoded by the same tokenizer.

        Returns:
            All rows, these first.
        """

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """Arrays about the rows that the model does not read, such as which tokens count.

        slimgate adds them to the inputs that it passes to `Task.read_output`.

        Args:
            positions: the positions of the rows of a batch.

        Returns:
            Name -> an array with the batch's rows as its first axis; often empty.
        """

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Makes the inputs of one call of a model.

        Args:
            positions: the positions of the rows.
            tokens: the width to pad or cut the rows to; None pads them to the longest of these rows.

        Returns:
            Name of an input, such as input_ids -> an array with the rows as its first axis. Tokens are (rows,
            tokens) int64.
        """
