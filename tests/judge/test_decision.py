"""A p-value equal to the level decides."""

from __future__ import annotations

import pytest

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.decision import ALPHA, decide
from slimgate.results.base import Verdict


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
