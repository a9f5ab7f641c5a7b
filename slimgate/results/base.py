"""The shared parts of all results: the verdict, the effect of an undecided budget, a judged budget.

`is_run_ending` alone decides whether a budget ends the run. This module does not import pydantic, because a
verdict on logs does not need it. The results that contain these dataclasses are pydantic models, which read
and write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal


class Verdict(StrEnum):
    """PASS: the budget holds. FAIL: it does not. INCONCLUSIVE: the measurements do not decide."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


def find_worst_verdict(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The worst verdict: FAIL, then INCONCLUSIVE, then PASS; None without a verdict."""
    for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
        if worst in verdicts:
            return worst
    return None


OnInconclusive = Literal["fail", "warn"]


def is_run_ending(verdict: Verdict | None, on_inconclusive: OnInconclusive | None) -> bool:
    """Whether a judged budget ends the run with exit code 1. Every test, record and command uses this."""
    return verdict is Verdict.FAIL or (verdict is Verdict.INCONCLUSIVE and on_inconclusive != "warn")


# How a record reads and writes the dataclasses below: pydantic's settings.
AS_IN_RECORD: dict[str, Any] = {
    "extra": "forbid",
    "ser_json_inf_nan": "strings",
    "revalidate_instances": "always",  # numpy's numbers become Python's
}


@dataclass(frozen=True, kw_only=True)
class CappedFacts:
    """For a budget on a mean without a bound: the share of rows above the cap, which is judged too.

    cap: the largest loss that a row adds to the mean, such as nats per token. uncapped: the mean without the
    cap, in the unit of the budget's value. above: the share of rows that lost more than the cap, with its
    interval (90 %) and its limit; documents count by their tokens. derived: whether above_max is derived from
    the budget; False if the user states it. undecided: the conditions of a PASS that the rows do not show:
    "mean", "share", or "sum" (the mean in which a row counts for up to 8 caps).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = AS_IN_RECORD

    cap: float
    uncapped: float
    above: float
    above_interval: tuple[float, float]
    above_max: float
    derived: bool
    undecided: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BudgetFacts:
    """A judged budget.

    value, interval: the limited value and its 90 % interval, in the unit of `limit`: a fraction of the
    teacher's value, error rate or loss for the relative kinds, the metric's own unit for floor and ceiling.
    Both are None if the limited value is a field of the result: a drop in points, a speed-up, a compression.
    on_inconclusive: whether the budget fails the run if it is undecided; None if it never is undecided.
    p_value: of the hypothesis that the budget does not hold, 1 if no rows could show that it holds; None if
    the verdict has no p-value. p_holds: of the hypothesis that the budget holds. For a two-sided budget,
    p_value is the larger of two one-sided p-values, and p_holds is twice the smaller of the other two.
    fail_interval: the 95 % interval of the drop, by which a two-sided budget FAILs.
    builds: for a budget over builds, how many were judged, 1 if all are equal; None for a budget over rows.
    n_needed: the number of rows that would decide an INCONCLUSIVE budget; None if no number would.
    builds_needed: the number of builds that would decide it on these rows. needs_both: whether it needs both
    n_needed rows and builds_needed builds. runs_needed: the number of runs of each side that would decide it.
    capped: only for a mean of values without a bound.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = AS_IN_RECORD

    kind: str
    limit: float
    verdict: Verdict
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None
    n_needed: int | None = None
    value: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    p_holds: float | None = None
    fail_interval: tuple[float, float] | None = None
    builds: int | None = None
    builds_needed: int | None = None
    needs_both: bool = False
    runs_needed: int | None = None
    capped: CappedFacts | None = None


@dataclass(frozen=True)
class SwitchedOffBudget:
    """A budget of [budgets] that a variant's own table removes. limit: the common limit."""

    __pydantic_config__: ClassVar[dict[str, Any]] = AS_IN_RECORD

    budget: str
    kind: str
    limit: float
    reason: str


def has_run_ending_budget(budgets: Iterable[BudgetFacts]) -> bool:
    """Whether a budget of a result ends the run: then the test of the result fails."""
    return any(is_run_ending(budget.verdict, budget.on_inconclusive) for budget in budgets)
