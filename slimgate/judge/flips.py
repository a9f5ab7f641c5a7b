"""Flips: rows that turn from right to wrong, their share against a budget, the surest of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.calibration import confidences
from slimgate.judge.clusters import clustered_share
from slimgate.judge.proportion import Interval, share_rows
from slimgate.judge.verdict import BudgetVerdict, Verdict
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes

MOST_QUOTED = 10
KIND = "flips_max_percent"


@dataclass(frozen=True)
class FlipsBudget:
    """At most this percentage of all rows may turn from right to wrong, however many turn back."""

    flips_max_percent: float
    reason: str | None = None
    on_inconclusive: Literal["fail", "warn"] | None = None


@dataclass(frozen=True)
class FlipShare:
    """Rows that turned from right to wrong, as a fraction of all rows, with its exact 90 % interval.

    design_effect, groups: None where rows do not come in groups.
    """

    share: float
    interval: Interval
    n: int
    design_effect: float | None
    groups: int | None


def turned(teacher: Outcomes, variant: Outcomes) -> tuple[Ints, Ints]:
    """Positions of the rows that went from right to wrong, and of those that went from wrong to right.

    Raises MeasureError where rows are neither right nor wrong.
    """
    if teacher.right is None or variant.right is None:
        raise MeasureError("flips: the rows of this task are neither right nor wrong")
    before, after = teacher.right > 0, variant.right > 0
    return np.flatnonzero(before & ~after), np.flatnonzero(~before & after)


def surest_lost(teacher: Outcomes, variant: Outcomes, most: int = MOST_QUOTED) -> Ints:
    """Positions of right-to-wrong rows, first those in whose wrong answer the variant is surest.

    Without its probabilities: those in whose right answer the teacher was; without either, in order.
    """
    lost, _ = turned(teacher, variant)
    known = [one for one in (variant, teacher) if isinstance(one, ClassOutcomes)]
    sure = next((found for one in known if (found := confidences(one)) is not None), None)
    if sure is None:
        return lost[:most]
    return lost[np.argsort(-sure[lost], kind="stable")][:most]


def flip_share(teacher: Outcomes, variant: Outcomes) -> FlipShare:
    """The share of right-to-wrong rows; grouped rows count as fewer, by the design effect of the turns."""
    groups = variant.groups if teacher.groups is None else teacher.groups
    if groups is not None and len(np.unique(groups)) == len(groups):
        groups = None
    is_lost = np.zeros(len(teacher))
    is_lost[turned(teacher, variant)[0]] = 1.0
    found = clustered_share(is_lost, groups)
    effect = None if groups is None else found.effect
    return FlipShare(found.share, found.interval, found.n, effect, found.groups)


def judge_flips(found: FlipShare, budget: FlipsBudget) -> BudgetVerdict:
    """PASS where the interval is below the limit, FAIL where it is above."""
    limit, rows = budget.flips_max_percent / 100, None
    low, high = found.interval
    verdict = Verdict.PASS if high < limit else Verdict.FAIL if low > limit else Verdict.INCONCLUSIVE
    if verdict is Verdict.INCONCLUSIVE:
        rows = share_rows(found.share, limit, design_effect=found.design_effect or 1.0)
    return BudgetVerdict(KIND, budget.flips_max_percent, verdict, budget.reason, rows)
