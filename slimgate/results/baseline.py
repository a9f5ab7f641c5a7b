"""A metric of a variant beside that of the same variant in the baseline."""

from __future__ import annotations

from slimgate.results.base import OnInconclusive
from slimgate.results.facts import Facts
from slimgate.results.quality import DropFigures


class WaitingBudget(Facts):
    """A budget that nothing was held against yet: it says what the next release may not loosen in silence."""

    kind: str
    limit: float
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None


class SinceFacts(DropFigures):
    """One metric then and now, on the same gate rows; as in QualityFacts, the baseline for the teacher.

    new: the baseline has no answers of the variant, so that nothing is held against it. note: why it is new,
    or why the rows could not be paired, which leaves its budgets undecided. waiting: budgets of what is new.
    right_to_wrong, wrong_to_right: rows since the baseline, of metrics of right and wrong rows.
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
