"""The status and the exit code of a run follow from its judged budgets."""

from __future__ import annotations

import pytest

from slimgate.results.base import OnInconclusive, Verdict, is_run_ending
from slimgate.results.counts import BudgetCounts, Status, is_failed_run

PASS = (Verdict.PASS, None)
FAIL = (Verdict.FAIL, "warn")
WARNED = (Verdict.INCONCLUSIVE, "warn")
UNDECIDED = (Verdict.INCONCLUSIVE, "fail")


@pytest.mark.parametrize(
    ("verdict", "action", "ends"),
    [
        (Verdict.PASS, "fail", False),
        (Verdict.FAIL, "warn", True),
        (Verdict.INCONCLUSIVE, "warn", False),
        (Verdict.INCONCLUSIVE, "fail", True),
        (Verdict.INCONCLUSIVE, None, True),
        (None, "fail", False),
    ],
)
def test_a_budget_that_fails_or_is_undecided_ends_the_run(
    verdict: Verdict | None, action: OnInconclusive | None, ends: bool
) -> None:
    assert is_run_ending(verdict, action) is ends


@pytest.mark.parametrize(
    ("budgets", "errors", "is_complete", "status", "failed"),
    [
        pytest.param([PASS, PASS], 0, True, "PASS", False, id="all pass"),
        pytest.param([PASS, FAIL, UNDECIDED], 0, True, "FAIL", True, id="one fails"),
        pytest.param([PASS], 1, True, "FAIL", True, id="an error"),
        pytest.param([PASS, WARNED], 0, True, "INCONCLUSIVE", False, id="one only warns"),
        pytest.param([WARNED, UNDECIDED], 0, True, "INCONCLUSIVE", True, id="one of two only warns"),
        pytest.param([PASS], 0, False, "partial", False, id="checks have not run"),
        pytest.param([PASS, UNDECIDED], 0, False, "INCONCLUSIVE", True, id="undecided before partial"),
        pytest.param([(None, None)], 0, True, "measured", False, id="nothing gated"),
    ],
)
def test_the_status_and_the_exit_code_of_a_run(
    budgets: list[tuple[Verdict | None, OnInconclusive | None]],
    errors: int,
    is_complete: bool,
    status: Status,
    failed: bool,
) -> None:
    counts = BudgetCounts(is_complete=is_complete)
    counts.add_budgets(budgets)
    for number in range(errors):
        counts.add_error(f"error {number}")
    assert (counts.status, is_failed_run(counts)) == (status, failed)
