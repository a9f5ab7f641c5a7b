"""The rows that a task reads, and the splits that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate.plugins.base import Arrays

UNLABELLED, CALIBRATION, CONFIRM, GATE = "unlabelled", "calibration", "confirm", "gate"
# The splits that every suite has.
SPLITS = ("train", CALIBRATION, "selection", GATE)
# No step reads rows of these.
JUDGING = (CONFIRM, GATE)
# The order in which a row belongs to the later of two splits. The gate is the last, so that its rows are the
# same with and without a split confirm.
DRAWN = (UNLABELLED, "train", CALIBRATION, "selection", CONFIRM, GATE)


@dataclass(frozen=True)
class Rows:
    """Rows as a task reads them: (rows,) ids beside the source's columns. Never the gate's in a build."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def ids(self) -> list[str]:
        return list(self.table["id"].to_pylist())


def row_groups(rows: Rows, column: str | None) -> npt.NDArray[np.int64] | None:
    """(rows,) numbers that are equal where the column's values are; None without a column."""
    if column is None:
        return None
    values = rows.table[column].to_numpy(zero_copy_only=False).astype(str)
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


@dataclass(frozen=True)
class TaskFacts:
    """What a task learnt from the rows and every model of a suite shares."""

    classes: tuple[str, ...]


class Encoded(Protocol):
    """Tokenised rows, from which batches are cut.

    An encoded row may be part of a row, as a window of a long document is: `row_of` then says of which, in
    rising order, and the scores of a row's parts add up. It may have tokens: int, those of all
    rows, where that is not the sum of `lengths`; and timed_batch(positions, tokens), the inputs of a call
    that is timed, where that is not one forward pass of `batch`.
    """

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row: (rows,)."""

    @property
    def row_of(self) -> npt.NDArray[np.int64] | None:
        """(encoded rows,) the row that each is a part of; None where they are the rows."""

    def take(self, positions: Sequence[int]) -> Encoded:
        """Some of the rows, in that order."""

    def join(self, more: Any) -> Encoded:
        """These rows and more of the same kind behind them."""

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """What is known of the rows beside their inputs, such as which tokens count; often nothing."""

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Inputs of the given rows, padded to the longest of them, or padded and cut to `tokens`."""
