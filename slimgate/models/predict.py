"""Scores of many rows: sorted by length, predicted in batches, returned in the rows' order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import DataError, MeasureError
from slimgate.plugins.base import Arrays, Progress, no_progress
from slimgate.plugins.models import Predictor
from slimgate.plugins.rows import Encoded
from slimgate.plugins.task import AnswerPlan

ReadOutput = Callable[[npt.NDArray[np.float32], Arrays], npt.NDArray[Any]]


def predict_scores(
    predictor: Predictor,
    encoded: Encoded,
    *,
    batch_size: int,
    batch_tokens: int | None = None,
    order: npt.NDArray[np.int64] | None = None,
    progress: Progress = no_progress,
    read: ReadOutput | None = None,
) -> npt.NDArray[Any]:
    """Scores of every row: (rows, outputs), in the order of the rows; sums if a row is split into parts.

    batch_size: the most rows of a batch; batch_tokens: its most tokens with padding, at least one row.
    order: the order in which rows are predicted; None for by length, longest first (so that memory runs out
    at once or never, and little padding is computed). read(output, batch) -> (rows, k): the part of a batch's
    output to keep, from its inputs and extra arrays; None keeps all of it. Raises DataError without rows,
    and MeasureError if a batch gives another number of rows: the scores behind it would be of other rows.
    """
    rows = len(encoded.lengths)
    if not rows:
        raise DataError("there are no rows to predict")
    if order is None:
        order = np.argsort(-encoded.lengths, kind="stable")
    elif encoded.row_of is not None:  # the parts of each row, in the order of the rows
        order = np.argsort(np.argsort(order)[encoded.row_of], kind="stable")
    batch_scores, done = [], 0
    for positions in split_into_batches(encoded.lengths, order.tolist(), batch_size, batch_tokens):
        batch = encoded.batch(positions)
        output = predictor.fetch(_forward(predictor, predictor.prepare(batch)))
        if read is not None:
            output = read(output, {**batch, **encoded.extra_arrays(positions)})
        if np.ndim(output) < 2 or len(output) != len(positions):
            raise MeasureError(
                f"scores have the shape {np.shape(output)} for a batch of {len(positions)} rows, expected "
                f"({len(positions)}, …), one row of scores for each; see `fetch` of the runtime and "
                "`read_output` of the task"
            )
        batch_scores.append(np.array(output))  # a runtime may write the next scores into the same memory
        done += len(positions)
        progress("predict", done, rows)
    scores = np.concatenate(batch_scores)
    result = np.empty_like(scores)
    result[order] = scores
    return result if encoded.row_of is None else _sum_parts(result, encoded.row_of)


def predict_by_plan(
    predictor: Predictor, encoded: Encoded, plan: AnswerPlan, read: ReadOutput
) -> npt.NDArray[Any]:
    """The scores of every row, in the batches and the order of a plan."""
    return predict_scores(
        predictor,
        encoded,
        batch_size=plan.batch_size,
        batch_tokens=plan.batch_tokens,
        order=plan.order,
        progress=plan.progress,
        read=read,
    )


def _forward(predictor: Predictor, prepared: Any) -> Any:
    try:
        return predictor.forward(prepared)
    except IndexError as error:
        if str(error) != "index out of range in self":  # of torch's embedding
            raise
        raise MeasureError(
            "the model has no embedding for a token or a position of a row: its tokenizer has larger ids "
            "than its vocabulary, or the row is too long; check that the tokenizer belongs to the model"
        ) from error


def split_into_batches(
    lengths: npt.NDArray[np.int64], order: Sequence[int], rows: int, tokens: int | None = None
) -> Iterator[list[int]]:
    """Consecutive runs of `order` of at most `rows` rows that fill at most `tokens` tokens with padding.

    A row that is longer than `tokens` is a separate batch.
    """
    batch: list[int] = []
    width = 0
    for position in order:
        wider = max(width, int(lengths[position]))
        full = len(batch) == rows or (tokens is not None and wider * (len(batch) + 1) > tokens)
        if batch and full:
            yield batch
            batch, wider = [], int(lengths[position])
        batch.append(position)
        width = wider
    if batch:
        yield batch


def _sum_parts(scores: npt.NDArray[np.floating], row_of: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """(rows, k) sums over the parts of each row."""
    total = np.zeros((int(row_of.max()) + 1, *scores.shape[1:]), dtype=scores.dtype)
    np.add.at(total, row_of, scores)
    return total
