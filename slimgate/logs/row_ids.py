"""The ids of the samples that a comparison judges."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.logs.columns import digest
from slimgate.logs.pairs import PairedTask
from slimgate.logs.predictions.codes import LONGEST_ID, ROWS_AT_ONCE, SHOWN_ID, take_rows
from slimgate.logs.score_pairs import PairedScores
from slimgate.outcomes import Ints, Texts


def list_row_ids(paired: PairedTask, scores: PairedScores) -> Texts:
    """(rows,) the ids, each of at most 64 characters, and distinct as they are in the log."""
    row_ids = np.empty(len(scores.base), dtype=SHOWN_ID)
    in_base, only_in_target = scores.base_rows >= 0, scores.base_rows < 0
    for rows, at, samples in (
        (in_base, scores.base_rows, paired.base),
        (only_in_target, scores.target_rows, paired.target),
    ):
        if rows.any():
            _fill(row_ids, np.flatnonzero(rows), samples.ids, at)
    return cast(Texts, row_ids)


def _fill(target: Any, rows: Ints, ids: pa.Array, at: Ints) -> None:
    """Copies ids a part at a time: ten million Python texts take half a gigabyte."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        texts = take_rows(ids, at[part])
        shorten = pc.max(pc.utf8_length(texts)).as_py() > LONGEST_ID
        target[part] = [shorten_id(text) for text in texts.to_pylist()] if shorten else texts.to_pylist()


def shorten_id(text: str) -> str:
    """At most 64 characters, which differ for ids that differ: a digest replaces the end."""
    return text if len(text) <= LONGEST_ID else f"{text[: LONGEST_ID - 13]}~{digest(text):012x}"
