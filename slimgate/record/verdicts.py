"""The outcome of a run: the self-test of the gate, the baseline, the verdict over all."""

from __future__ import annotations

from typing import Literal

from slimgate.results.base import OnInconclusive
from slimgate.results.counts import Status, has_judged_budget, is_failed_run
from slimgate.results.facts import Facts

# The effect of an undecided budget on a run, before and now.
UndecidedChange = tuple[OnInconclusive, OnInconclusive]
ONLY_WARNS: UndecidedChange = ("fail", "warn")


class LoosenedBudget(Facts):
    """A budget that allows more than in the baseline. limit: None if it was removed or gates no more.

    undecided: what INCONCLUSIVE did and does, if that changed; the limit may be the same.
    """

    variant: str
    budget: str
    kind: str
    before: float
    limit: float | None
    reason: str | None
    undecided: UndecidedChange | None = None

    @property
    def now(self) -> str:
        """The change of the limit in words: `is 2 now`."""
        if self.limit is None:
            return "is not gated any more"
        warns = "only warns where it is undecided" if self.undecided == ONLY_WARNS else ""
        if warns and self.limit == self.before:
            return f"{warns} now"
        return f"is {self.limit:g} now" + (f" and {warns}" if warns else "")


# The part of a gate that became weaker.
About = Literal["budgets", "variants", "rows", "settings"]


class Weakening(Facts):
    """One way in which a gate demands less than an earlier one. reason: None if no reason was given."""

    about: About
    change: str
    reason: str | None = None


class BaselineFacts(Facts):
    """The earlier run that this run is compared with. gates_gone: gated variants that were removed.

    name: of the release, if it was accepted. weaker: every way in which this gate demands less, with the
    loosened budgets.
    """

    path: str
    name: str | None = None
    created: str
    loosened: list[LoosenedBudget] = []
    gates_gone: list[str] = []
    weaker: list[Weakening] = []


class AcceptedFacts(Facts):
    """How the run became a baseline: its name, the time, and the reason if it was needed or given.

    against: the baseline that it was compared with; loosened: the budgets that allow more than there; weaker:
    every way in which the gate demands less than there.
    """

    name: str
    at: str
    reason: str | None = None
    against: str | None = None
    loosened: list[LoosenedBudget] = []
    weaker: list[Weakening] = []


class CarriedResult(Facts):
    """A result of an earlier run that this run did not measure again, and when it was measured.

    kind, name: the check of its model, such as quality and accuracy. An error has the kind "error" and no
    name.
    """

    kind: str
    name: str
    measured: str | None = None


class ErrorFacts(Facts):
    """Why a model could not be built or measured. log: more about it; in the record, the name of its file."""

    message: str
    log: str | None = None
    measured: str | None = None


class RunVerdict(Facts):
    """Counts of budgets by verdict; a result without budgets that has a verdict counts as one.

    errors: models that could not be built or measured, and self-tests that failed. not_gated: what was
    measured without a budget that gates. warns: undecided budgets that only warn. missing: checks of the
    suite that were not made. carried: results of earlier runs. messages: a line for each budget that does not
    hold, FAIL before INCONCLUSIVE; for each model that could not be built; for each failed self-test; and for
    planted delays that were not seen, if that left a budget undecided.
    """

    status: Status
    passed: int
    failed: int
    inconclusive: int
    errors: int = 0
    not_gated: int
    warns: int = 0
    missing: int = 0
    carried: int = 0
    messages: list[str] = []

    @property
    def gated(self) -> bool:
        """Whether a budget that gates was judged."""
        return has_judged_budget(self)

    @property
    def fails(self) -> bool:
        """Whether a run with these counts ends with exit code 1."""
        return is_failed_run(self)
