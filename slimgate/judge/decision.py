"""The three verdicts, and what a budget's verdict holds.

The error rates of every verdict, and the normal quantiles that belong to them.

Words for readers beside a drop, by limits that are a convention of this project. Never the decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# A too-large drop passes, or a harmless one fails, at most this often (one-sided).
ALPHA = 0.05
# The two-sided level of every reported interval, so that its bounds agree with the one-sided verdict.
LEVEL = 0.90
# The chance that `rows needed` gives an honest variant to pass.
POWER = 0.80
Z_ALPHA = 1.6448536269514722
Z_POWER = 0.8416212335729143


def z_quantile(alpha: float) -> float:
    """The one-sided point of the normal distribution at level `alpha`."""
    from slimgate._system.special_functions import ndtri

    return float(-ndtri(alpha))


def t_quantile(degrees: float, alpha: float = ALPHA) -> float:
    """The one-sided point of Student's t, for a variance that is estimated from few groups."""
    from slimgate._system.special_functions import stdtrit

    return float(stdtrit(max(degrees, 1), 1 - alpha))


class Verdict(StrEnum):
    """PASS: the drop is inside the budget. FAIL: it is not. INCONCLUSIVE: the rows cannot tell."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class CappedFigures:
    """Of a mean without a bound: what was judged beside the capped mean; see `capped`.

    cap: the most that a row counts for, per unit of its size. uncapped: the mean without it, in the unit of
    the budget's value. above: the share of rows, by their sizes, that lost more than the cap, with its 90 %
    interval and limit. derived: that limit is slimgate's, derived from the budget.
    """

    cap: float
    uncapped: float
    above: float
    above_interval: tuple[float, float]
    above_max: float
    derived: bool


@dataclass(frozen=True)
class BudgetVerdict:
    """n_needed: the rows that would decide an INCONCLUSIVE budget; None where decided, or none would.

    value, interval: what was judged and its 90 % interval, in the unit of `limit`: a fraction of the
    teacher's value, error rate or loss for the relative kinds, the metric's own unit for floor and ceiling.
    None for the kinds in points over rows, whose drop and interval stand in the judgement, and where they are
    not finite.
    p_value: of "the budget does not hold"; None of what is judged in another way. p_holds: of "it holds",
    small where the rows show that it does not. Of a two-sided budget p_value is the larger of two one-sided
    p-values, and p_holds twice the smaller of the other two.
    fail_interval: the 95 % interval by which a two-sided budget FAILs, in the unit of `limit`.
    builds: of a budget over builds, how many were judged, 1 where all are equal; None of one over rows.
    builds_needed: the builds that would decide it on these rows, as n_needed has the rows for these builds;
    needs_both: neither is enough alone, and both numbers are of more rows with more builds. runs_needed: the
    same of runs of each side, where runs were judged.
    capped: of a mean of values without a bound, the share above the cap; None of all others.
    """

    kind: str
    limit: float
    verdict: Verdict
    reason: str | None
    n_needed: int | None
    value: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    p_holds: float | None = None
    fail_interval: tuple[float, float] | None = None
    builds: int | None = None
    builds_needed: int | None = None
    needs_both: bool = False
    capped: CappedFigures | None = None
    runs_needed: int | None = None


def to_verdict(*, inside: bool, outside: bool) -> Verdict:
    """Of what the rows show: that the budget holds, that it does not, or neither."""
    if inside:
        return Verdict.PASS
    return Verdict.FAIL if outside else Verdict.INCONCLUSIVE


def worst_verdict(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The worst: FAIL, then INCONCLUSIVE, then PASS; None of none."""
    for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
        if worst in verdicts:
            return worst
    return None


def band(drop_points: float) -> str:
    """gain < -1 point <= negligible <= 1 < small <= 2 < depends on the use <= 5 < bad."""
    if drop_points < -1:
        return "gain"
    if drop_points <= 1:
        return "negligible"
    if drop_points <= 2:
        return "small"
    return "depends on the use" if drop_points <= 5 else "bad"
