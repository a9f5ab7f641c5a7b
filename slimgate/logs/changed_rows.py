"""The rows of a comparison whose score or answer changed, and the choice of rows that reports quote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slimgate.judge.budget_kinds import QualityBudget, is_two_sided
from slimgate.logs.pairs import PairedTask
from slimgate.logs.predictions.codes import ROWS_AT_ONCE
from slimgate.logs.score_pairs import PairedScores
from slimgate.outcomes import Floats

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
