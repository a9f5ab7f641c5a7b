"""The three verdicts, and what a budget's verdict holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """PASS: the drop is inside the budget. FAIL: it is not. INCONCLUSIVE: the rows cannot tell.

    NOT_SHOWN: the same as INCONCLUSIVE, of slices. A slice has few rows, so this never fails a run; it is no
    PASS either.
    """

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class BudgetVerdict:
    """n_needed: the rows that would decide an INCONCLUSIVE budget; None where decided, or none would.

    value, interval: what was judged and its 90 % interval, in the unit of `limit`: a fraction of the
    teacher's value, error rate or loss for the relative kinds, the metric's own unit for floor and ceiling.
    None for drop_points, whose drop and interval stand in the judgement, and where they are not finite.
    p_value: of "the budget does not hold"; None of what is judged in another way.
    """

    kind: str
    limit: float
    verdict: Verdict
    reason: str | None
    n_needed: int | None
    value: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None


def decided(*, inside: bool, outside: bool) -> Verdict:
    """Of what the rows show: that the budget holds, that it does not, or neither."""
    if inside:
        return Verdict.PASS
    return Verdict.FAIL if outside else Verdict.INCONCLUSIVE


def combined(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The worst: FAIL, then INCONCLUSIVE, then NOT_SHOWN, then PASS; None of none."""
    for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NOT_SHOWN, Verdict.PASS):
        if worst in verdicts:
            return worst
    return None
