"""A metric of a variant compared with that of the same variant in the baseline."""

from __future__ import annotations

from slimgate.results.base import OnInconclusive
from slimgate.results.facts import Facts
from slimgate.results.quality import DropFigures


class WaitingBudget(Facts):
    """A budget that had nothing to compare with yet. The next release may not loosen it without a reason."""

    kind: str
    limit: float
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None


class SinceFacts(DropFigures):
    """One metric then and now, on the same gate rows; as in QualityFacts, with the baseline as the teacher.

    new: the baseline has no answers of the variant, so there is nothing to compare. note: why it is new, or
    why the rows could not be paired, which leaves its budgets undecided. waiting: the budgets of a new
    variant or metric. right_to_wrong, wrong_to_right: rows since the baseline, for metrics of right and wrong
    rows.
    """

    baseline: float | None = None
    value: float | None = None
    n: int | None = None
    right_to_wrong: int | None = None
    wrong_to_right: int | None = None
    new: bool = False
    note: str | None = None
    waiting: list[WaitingBudget] = []
    message: str | None = None
    measured: str
