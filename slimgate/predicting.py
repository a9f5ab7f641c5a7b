"""Scores of many rows: sorted by length, in batches, put back in the rows' own order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slimgate.errors import DataError
from slimgate.protocols import Encoded, Predictor, Progress, iter_batches, no_progress


def predict_scores(
    predictor: Predictor,
    encoded: Encoded,
    *,
    batch_size: int,
    order: npt.NDArray[np.int64] | None = None,
    progress: Progress = no_progress,
) -> npt.NDArray[np.float32]:
    """Scores of every row: (rows, outputs) float32, in the order of the rows.

    order: the order in which rows are predicted; by length, longest first, where it is None (so that
    memory runs out at once or never, and little padding is computed). Raises DataError without rows.
    """
    rows = len(encoded.lengths)
    if not rows:
        raise DataError("there are no rows to predict")
    if order is None:
        order = np.argsort(-encoded.lengths, kind="stable")
    parts, done = [], 0
    for positions in iter_batches(order.tolist(), batch_size):
        parts.append(predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(positions)))))
        done += len(positions)
        progress("predict", done, rows)
    scores = np.concatenate(parts)
    result = np.empty_like(scores)
    result[order] = scores
    return result
