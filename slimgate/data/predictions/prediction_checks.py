"""What must hold of one prediction file: nothing missing, ids distinct, probabilities that are ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slimgate._system.toml import shown as quoted
from slimgate.data.predictions.id_order import by_id, standing_twice
from slimgate.data.predictions.words import is_empty
from slimgate.errors import DataError
from slimgate.outcomes import Floats, Ints

EXAMPLES = 3
SUM_TOLERANCE = 1e-3


def some(values: pa.Array) -> str:
    """`"a", "b", "c" and 97 more`: up to three of them."""
    listed = ", ".join(quoted(value) for value in values[:EXAMPLES].to_pylist())
    return listed + (f" and {len(values) - EXAMPLES:,} more" if len(values) > EXAMPLES else "")


def check_missing(shown: str, ids: pa.Array, columns: Mapping[str, pa.Array]) -> None:
    """Raises DataError where a row has no value in one of the columns."""
    for name, column in columns.items():
        # parquet and jsonl can hold an empty text where csv has nothing
        rows = np.flatnonzero(is_empty(column).to_numpy(zero_copy_only=False))
        if len(rows):
            raise DataError(
                f'{shown}: column "{name}" has no value in {len(rows):,} of {len(column):,} rows '
                f"({_which(ids, rows)})"
            )


def _which(ids: pa.Array, rows: npt.NDArray[np.intp]) -> str:
    """Ids of rows; where an id itself is missing, the rows' numbers."""
    examples = ids.take(rows)
    if examples[:EXAMPLES].null_count == 0 and "" not in examples[:EXAMPLES].to_pylist():
        return f"ids {some(examples)}"
    return f"rows {some(pa.array(rows + 1))}"


def check_ids(shown: str, ids: pa.Array) -> Ints:
    """(rows,) positions in the order of the ids. Raises DataError where an id stands twice."""
    order = by_id(ids)
    twice = standing_twice(ids, order)
    if len(twice):
        stand = "id stands" if len(twice) == 1 else "ids stand"
        raise DataError(
            f"{shown}: {len(twice):,} {stand} more than once: {some(twice)}; expected one row an id"
        )
    return order


def check_probabilities(shown: str, ids: pa.Array, columns: dict[str, list[pa.Array]]) -> Floats:
    """(rows, classes) float64 of the columns, class -> probability in blocks; takes them out as it goes.

    Raises DataError where one is missing, not finite or negative, or where a row does not sum to 1.
    """
    values = np.empty((len(ids), len(columns)))
    names = list(columns)
    for k, name in enumerate(names):
        column = pa.chunked_array(columns.pop(name), pa.float64())
        if column.null_count:
            missing = pc.is_null(column).to_numpy()
            _refuse(shown, ids, missing, f'no probability of class "{name}"')
        values[:, k] = column.to_numpy()
    _refuse(shown, ids, np.any(~np.isfinite(values), axis=1), "a probability that is NaN or infinite")
    _refuse(shown, ids, np.any(values < 0, axis=1), "a negative probability")
    sums = values.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        of = some(pa.array(names))
        what = (
            f"probabilities (of {of}) that do not sum to 1 within {SUM_TOLERANCE:g}, first {sums[off][0]:.6g}"
        )
        _refuse(shown, ids, off, what)
    return values


def _refuse(shown: str, ids: pa.Array, wrong: npt.ArrayLike, what: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        have = "has" if len(rows) == 1 else "have"
        raise DataError(
            f"{shown}: {len(rows):,} of {len(ids):,} rows {have} {what}: ids {some(ids.take(rows))}"
        )
