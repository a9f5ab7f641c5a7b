"""Counts of judged budgets, and the status of the whole run.

`BudgetCounts.status` alone decides the status of a run, wherever it is shown. An undecided budget is no PASS,
even if it only warns. A run that gated nothing is no PASS either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from slimgate.results.base import OnInconclusive, Verdict, is_run_ending

# partial: checks have not run, or results are of an earlier run. measured: no gating budget was judged.
Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "partial", "measured"]
NOTHING_GATED = "nothing was gated"


class VerdictCounts(Protocol):
    """The final counts of a command over all budgets: BudgetCounts, or the RunVerdict of a record."""

    @property
    def status(self) -> Status: ...
    @property
    def passed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def inconclusive(self) -> int: ...
    @property
    def not_gated(self) -> int: ...
    @property
    def warns(self) -> int: ...


def has_judged_budget(counts: VerdictCounts) -> bool:
    """Whether a budget that gates was judged."""
    return bool(counts.passed + counts.failed + counts.inconclusive)


def is_failed_run(counts: VerdictCounts) -> bool:
    """Whether a command with these counts ends with exit code 1."""
    return counts.status == "FAIL" or (counts.status == "INCONCLUSIVE" and counts.warns < counts.inconclusive)


def format_verdict(counts: VerdictCounts) -> str:
    """`FAIL (1 PASS, 1 FAIL, 0 INCONCLUSIVE, 2 not gated)`: the last line of a command."""
    if not has_judged_budget(counts):
        return f"{NOTHING_GATED}: no budget was set"
    only_warns = counts.status == "INCONCLUSIVE" and not is_failed_run(counts)
    return (
        f"{counts.status} ({counts.passed} PASS, {counts.failed} FAIL, {counts.inconclusive} INCONCLUSIVE"
        f"{', which only warns' if only_warns else ''}, {counts.not_gated} not gated)"
    )


@dataclass
class BudgetCounts:
    """The number of budgets with each verdict, and the messages about budgets that do not hold.

    errors: failed measurements and failed self-tests. not_gated: results without a budget that gates. warns:
    undecided budgets that only warn. failure_messages: a line for each error and each budget that FAILs.
    undecided_messages: a line for each undecided budget, and for each cause, such as a planted delay that was
    not seen. is_complete: whether all checks were made by this run; if not, the status may be partial.
    """

    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    errors: int = 0
    not_gated: int = 0
    warns: int = 0
    failure_messages: list[str] = field(default_factory=list)
    undecided_messages: list[str] = field(default_factory=list)
    is_complete: bool = True

    def add_budgets(self, judged: Iterable[tuple[Verdict | None, OnInconclusive | None]]) -> None:
        """Counts budgets by their verdicts. judged: (verdict, on_inconclusive) of each budget."""
        for verdict, action in judged:
            self.passed += verdict is Verdict.PASS
            self.failed += verdict is Verdict.FAIL
            self.inconclusive += verdict is Verdict.INCONCLUSIVE
            self.warns += verdict is Verdict.INCONCLUSIVE and not is_run_ending(verdict, action)

    def add_error(self, message: str) -> None:
        """Counts a failed measurement or a failed self-test."""
        self.errors += 1
        self.failure_messages.append(message)

    @property
    def status(self) -> Status:
        """FAIL before INCONCLUSIVE before partial; PASS only if a budget holds and none is undecided."""
        if self.failed or self.errors:
            return "FAIL"
        if self.inconclusive:
            return "INCONCLUSIVE"
        if not self.is_complete:
            return "partial"
        return "PASS" if self.passed else "measured"
