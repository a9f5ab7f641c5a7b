"""What all results share: the verdict, what an undecided budget does, a judged budget.

`ends_run` alone decides whether a budget ends the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict


class Verdict(StrEnum):
    """PASS: the drop is inside the budget. FAIL: it is not. INCONCLUSIVE: the rows cannot tell."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


def worst_verdict(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The worst: FAIL, then INCONCLUSIVE, then PASS; None of none."""
    for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
        if worst in verdicts:
            return worst
    return None


OnInconclusive = Literal["fail", "warn"]


def ends_run(verdict: Verdict | None, on_inconclusive: OnInconclusive | None) -> bool:
    """Whether a judged budget ends the run with exit code 1. Every test, record and command asks this."""
    return verdict is Verdict.FAIL or (verdict is Verdict.INCONCLUSIVE and on_inconclusive != "warn")


class Facts(BaseModel):
    """The base of all that a record holds: frozen, and what was not measured is None.

    A figure that is not finite is written as a text, "Infinity" or "NaN", and read as a number again: JSON
    has none for it, and null would say that it was not measured, or stand where a number must be.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        ser_json_inf_nan="strings",
        defer_build=True,  # most commands use few of the classes
    )

    def replace(self, **changes: object) -> Self:
        """Makes a copy in which some fields have other values.

        Args:
            changes: by the names of the fields.

        Raises:
            pydantic.ValidationError: for a name that is no field, and a value of another type.
        """
        return type(self)(**{**dict(self), **changes})


class CappedFacts(Facts):
    """Of a budget on a mean without a bound: the share of rows above the cap, which is judged too.

    cap: the most that a row counts for in the mean, such as nats a token. uncapped: the mean without it, in
    the unit of the budget's value. above: the share of rows (of documents by their tokens) that lost more,
    with its 90 % interval and its limit. derived: the limit is derived from the budget, not the user's.
    """

    cap: float
    uncapped: float
    above: float
    above_interval: tuple[float, float]
    above_max: float
    derived: bool


class BudgetFacts(Facts):
    """A judged budget.

    value, interval: what it limits and its 90 % interval, in the unit of `limit`: a fraction of the teacher's
    value, error rate or loss for the relative kinds, the metric's own unit for floor and ceiling. None where
    they stand beside it already: a drop in points, a speed-up, a compression.
    on_inconclusive: whether the budget fails the run where it is undecided; None where it never is.
    p_value: of "the budget does not hold"; None of what is judged in another way. p_holds: of "it holds",
    small where the rows show that it does not. Of a two-sided budget p_value is the larger of two one-sided
    p-values, and p_holds twice the smaller of the other two.
    fail_interval: the 95 % interval of the drop, by which a two-sided budget FAILs.
    builds: of a budget over builds, how many were judged, 1 where all are equal; None of one build.
    n_needed: the rows that would decide an INCONCLUSIVE budget; None where none would. builds_needed: the
    builds that would, on these rows. needs_both: neither would alone, and the numbers are of both together.
    runs_needed: the runs of each side that would.
    capped: of a mean of values without a bound.
    """

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

    def with_action(self, on_inconclusive: OnInconclusive | None) -> BudgetFacts:
        """The same budget with what it does where it is undecided."""
        return self.replace(on_inconclusive=on_inconclusive)
