"""Flips: rows that turn from right to wrong, the budget on their share, and which of them to quote."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.answer_figures import compute_confidences
from slimgate.judge.budget_tables import FlipsBudget
from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA, choose_verdict
from slimgate.judge.mean_bound import UnitLosses, sum_by_unit
from slimgate.judge.rows_needed import count_rows
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes
from slimgate.results.base import BudgetFacts, Verdict

MOST_QUOTED = 10


@dataclass(frozen=True)
class FlipShare:
    """Rows that turned from right to wrong, as a fraction of all rows.

    losses: by row or group, 1 for each turned row. groups: None if rows do not come in groups.
    """

    losses: UnitLosses
    n: int
    groups: int | None

    @property
    def share(self) -> float:
        return self.losses.mean

    @cached_property
    def interval(self) -> Interval:
        """Its exact 90 % interval."""
        return self.losses.compute_interval()


def find_flipped_rows(teacher: Outcomes, variant: Outcomes) -> tuple[Ints, Ints]:
    """Positions of the rows that went from right to wrong, and of those that went from wrong to right.

    Raises MeasureError if rows are neither right nor wrong.
    """
    if teacher.right is None or variant.right is None:
        raise MeasureError("flips: the rows of this task are neither right nor wrong")
    before, after = teacher.right > 0, variant.right > 0
    return np.flatnonzero(before & ~after), np.flatnonzero(~before & after)


def select_confident_lost_rows(teacher: Outcomes, variant: Outcomes, limit: int = MOST_QUOTED) -> Ints:
    """Positions of right-to-wrong rows, first those with the variant's most confident wrong answers.

    Without the variant's probabilities: first those with the teacher's most confident right answers. Without
    either: in their order.
    """
    lost, _ = find_flipped_rows(teacher, variant)
    for outcomes in (variant, teacher):
        if isinstance(outcomes, ClassOutcomes) and (confidence := compute_confidences(outcomes)) is not None:
            return lost[np.argsort(-confidence[lost], kind="stable")][:limit]
    return lost[:limit]


def compare_flips(teacher: Outcomes, variant: Outcomes) -> FlipShare:
    """The share of right-to-wrong rows. Rows of one group are not independent."""
    is_lost = np.zeros(len(teacher))
    is_lost[find_flipped_rows(teacher, variant)[0]] = 1.0
    return estimate_flip_share(is_lost, variant.groups if teacher.groups is None else teacher.groups)


def estimate_flip_share(is_lost: Floats, groups: Ints | None) -> FlipShare:
    """The share of rows that turned from right to wrong.

    is_lost: (rows,) 1 if a row turned from right to wrong; groups: (rows,) ids, or None.
    """
    count = 0 if groups is None else len(np.unique(groups))
    if count == len(is_lost):
        groups = None
    losses = sum_by_unit(is_lost, np.ones(len(is_lost)), groups, best=0.0, worst=1.0)
    return FlipShare(losses, len(is_lost), None if groups is None else count)


def judge_flips(share: FlipShare, percent: float, reason: str | None = None) -> BudgetFacts:
    """PASS if the rows show a share below `percent`, FAIL if they show one above it.

    reason: why the user set this budget, if the suite says so.
    """
    limit = percent / 100
    verdict = choose_verdict(
        inside=share.losses.p_at_least(limit) <= ALPHA, outside=share.losses.p_at_most(limit) <= ALPHA
    )
    copies = share.losses.compute_copies_needed(limit) if verdict is Verdict.INCONCLUSIVE else None
    n_needed = count_rows(copies, share.n)
    return BudgetFacts(
        kind=FlipsBudget.kind, limit=percent, verdict=verdict, reason=reason, n_needed=n_needed
    )
