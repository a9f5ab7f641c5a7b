"""The rows of a comparison: their ids, those whose score or answer changed, and those that reports quote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.judge.budget_kinds import QualityBudget, is_two_sided
from slimgate.logs.columns import digest
from slimgate.logs.pairs import PairedTask
from slimgate.logs.predictions.codes import LONGEST_ID, ROWS_AT_ONCE, SHOWN_ID, take_rows
from slimgate.logs.score_pairs import PairedScores
from slimgate.outcomes import Floats, Ints, Texts

# Reports quote at most this number of changed rows of a comparison.
MAX_CHANGED_ROWS = 10
Bools = npt.NDArray[np.bool_]
# Rows, each as its position in base and in target.
Positions = tuple[tuple[int, int], ...]


def find_worse_and_better(base: Floats, target: Floats, *, higher_is_better: bool) -> tuple[Bools, Bools]:
    """(rows,) whether the score of a row became worse, and whether it became better."""
    fell, rose = target < base, target > base
    return (fell, rose) if higher_is_better else (rose, fell)


def choose_quoted(
    scores: PairedScores,
    worse_and_better: tuple[Bools, Bools],
    *,
    higher_is_better: bool,
    budgets: Sequence[QualityBudget],
) -> tuple[Positions, Positions]:
    """Chooses rows that became worse; and rows that became better, if a budget limits a gain.

    Answers of the first run are quoted, so with several runs its score must have changed too.
    worse_and_better: the result of `find_worse_and_better`.
    """
    worse, better = worse_and_better
    if scores.runs is not None:
        first = find_worse_and_better(
            scores.runs.base[0], scores.runs.target[0], higher_is_better=higher_is_better
        )
        worse, better = worse & first[0], better & first[1]
    quoted_better = _list_first_positions(scores, better) if is_two_sided(budgets) else ()
    return _list_first_positions(scores, worse), quoted_better


def _list_first_positions(scores: PairedScores, changed: Bools) -> Positions:
    """The positions of the first rows that changed."""
    rows = np.flatnonzero(changed)[:MAX_CHANGED_ROWS]
    return tuple((int(scores.base_rows[at]), int(scores.target_rows[at])) for at in rows)


def count_changed_answers(paired: PairedTask, scores: PairedScores) -> int | None:
    """The number of rows whose answers in base and in target differ; None if a log has no answers."""
    if paired.base.answers is None or paired.target.answers is None:
        return None
    changed = 0
    for start in range(0, len(scores.base_rows), ROWS_AT_ONCE):
        rows, target_rows = (
            rows_of_side[start : start + ROWS_AT_ONCE]
            for rows_of_side in (scores.base_rows, scores.target_rows)
        )
        in_both = (rows >= 0) & (target_rows >= 0)
        changed += int(
            (paired.base.answers[rows[in_both]] != paired.target.answers[target_rows[in_both]]).sum()
        )
    return changed


def list_row_ids(paired: PairedTask, scores: PairedScores) -> Texts:
    """(rows,) the ids, each of at most 64 characters, and distinct as they are in the log."""
    row_ids = cast(Texts, np.empty(len(scores.base), dtype=SHOWN_ID))
    in_base, only_in_target = scores.base_rows >= 0, scores.base_rows < 0
    for rows, at, samples in (
        (in_base, scores.base_rows, paired.base),
        (only_in_target, scores.target_rows, paired.target),
    ):
        if rows.any():
            _copy_ids(row_ids, np.flatnonzero(rows), samples.ids, at)
    return row_ids


def _copy_ids(row_ids: Texts, rows: Ints, ids: pa.Array, at: Ints) -> None:
    """Copies the ids of some rows, a part at a time: ten million Python texts take half a gigabyte.

    at: (rows of row_ids,) the places of the rows in `ids`.
    """
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        texts = take_rows(ids, at[part])
        shorten = pc.max(pc.utf8_length(texts)).as_py() > LONGEST_ID
        row_ids[part] = [shorten_id(text) for text in texts.to_pylist()] if shorten else texts.to_pylist()


def shorten_id(text: str) -> str:
    """At most 64 characters, which differ for ids that differ: a digest replaces the end."""
    return text if len(text) <= LONGEST_ID else f"{text[: LONGEST_ID - 13]}~{digest(text):012x}"
