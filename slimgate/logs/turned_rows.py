"""The rows of a comparison whose score or answer changed, and those of them that are quoted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slimgate.judge.budget_kinds import QualityBudget, is_two_sided
from slimgate.logs.pairs import PairedTask
from slimgate.logs.predictions.codes import AT_ONCE
from slimgate.logs.score_pairs import PairedScores
from slimgate.outcomes import Floats

# The most rows of a comparison that are kept to quote.
MAX_CHANGED_ROWS = 10
Bools = npt.NDArray[np.bool_]
# The positions of rows in base and in target.
Places = tuple[tuple[int, int], ...]


def find_turned(base: Floats, target: Floats, *, higher_is_better: bool) -> tuple[Bools, Bools]:
    """(rows,) whether the score became worse, and better."""
    fell, rose = target < base, target > base
    return (fell, rose) if higher_is_better else (rose, fell)


def choose_quoted(
    scores: PairedScores,
    turned: tuple[Bools, Bools],
    *,
    higher_is_better: bool,
    budgets: Sequence[QualityBudget],
) -> tuple[Places, Places]:
    """The rows to quote: those that became worse; and those that became better, if a budget limits a gain.

    For several runs, the answers of the first run are quoted. turned: of `find_turned`.
    """
    worse, better = turned
    if scores.runs is not None:
        first = find_turned(scores.runs.base[0], scores.runs.target[0], higher_is_better=higher_is_better)
        worse, better = worse & first[0], better & first[1]
    return _first_positions(scores, worse), _first_positions(scores, better) if is_two_sided(budgets) else ()


def _first_positions(scores: PairedScores, turned: Bools) -> Places:
    """The positions in base and in target of the first samples that turned."""
    rows = np.flatnonzero(turned)[:MAX_CHANGED_ROWS]
    return tuple((int(scores.base_rows[at]), int(scores.target_rows[at])) for at in rows)


def count_changed_answers(paired: PairedTask, scores: PairedScores) -> int | None:
    """The number of rows with another answer; None if a log does not have the answers."""
    if paired.base.answers is None or paired.target.answers is None:
        return None
    changed = 0
    for start in range(0, len(scores.base_rows), AT_ONCE):
        rows, target_rows = (
            rows_of_side[start : start + AT_ONCE] for rows_of_side in (scores.base_rows, scores.target_rows)
        )
        in_both = (rows >= 0) & (target_rows >= 0)
        changed += int(
            (paired.base.answers[rows[in_both]] != paired.target.answers[target_rows[in_both]]).sum()
        )
    return changed
