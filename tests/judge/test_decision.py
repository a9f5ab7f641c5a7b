"""What two p-values decide, the quantiles of the bounds, and a PASS that is withheld."""

from __future__ import annotations

import pytest
from scipy.stats import t

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.decision import ALPHA, decide, is_at_limit, t_quantile, withhold_budget_pass
from slimgate.results.base import BudgetFacts, Verdict


@pytest.mark.parametrize(
    ("p_value", "p_holds", "verdict"),
    [
        pytest.param(ALPHA, 0.9, Verdict.PASS, id="at the level of PASS"),
        pytest.param(0.9, ALPHA, Verdict.FAIL, id="at the level of FAIL"),
        pytest.param(0.0501, 0.0501, Verdict.INCONCLUSIVE, id="above both"),
    ],
)
def test_a_p_value_at_the_level_decides(p_value: float, p_holds: float, verdict: Verdict) -> None:
    judged = decide(QualityBudget("drop_points", 2.0), p_value, p_holds, find_rows=lambda: 7)
    assert judged.verdict is verdict
    assert judged.n_needed == (7 if verdict is Verdict.INCONCLUSIVE else None)


@pytest.mark.parametrize(
    ("value", "limit", "equal"),
    [
        pytest.param(0.1 + 0.2, 0.3, True, id="rounding"),
        pytest.param(0.0, 1e-13, True, id="rounding at 0"),
        pytest.param(0.01, 0.01001, False, id="a thousandth of a point"),
    ],
)
def test_a_value_is_at_a_limit_up_to_rounding(value: float, limit: float, equal: bool) -> None:
    assert is_at_limit(value, limit) is equal


@pytest.mark.parametrize("degrees", [1.0, 1.5, 2.0, 30.0])
def test_the_quantile_of_students_t_is_that_of_scipy(degrees: float) -> None:
    assert t_quantile(degrees) == pytest.approx(t.ppf(0.95, degrees), rel=1e-9)
    assert t_quantile(degrees, 0.01) == pytest.approx(t.ppf(0.99, degrees), rel=1e-9)


def test_fewer_degrees_of_freedom_than_one_count_as_one() -> None:
    assert t_quantile(0.4) == t_quantile(1.0)


def test_a_withheld_pass_has_no_plan() -> None:
    """No rows, builds or runs would show that a budget holds which cannot fail."""
    facts = BudgetFacts(
        kind="drop_points",
        limit=2.0,
        verdict=Verdict.INCONCLUSIVE,
        n_needed=900,
        builds_needed=4,
        runs_needed=5,
        needs_both=True,
        p_value=0.3,
    )
    withheld = withhold_budget_pass(facts)
    assert not withheld.needs_both
    assert (withheld.n_needed, withheld.builds_needed, withheld.runs_needed) == (None, None, None)
    assert (withheld.verdict, withheld.p_value) == (Verdict.INCONCLUSIVE, 1.0)
