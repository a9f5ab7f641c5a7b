"""A budget that no model can break gives no PASS."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.cannot_fail import withhold_sure_passes
from slimgate.judge.score_metric import score_metric, score_outcomes
from slimgate.judge.verdict import QualityJudgement


def judge(
    base: list[float], target: list[float], *budgets: QualityBudget, better: bool = True
) -> QualityJudgement:
    metric = score_metric("m", higher_is_better=better, zero_one=False, score_range=(0.0, 1.0))
    ids = np.array([str(at) for at in range(len(base))])
    sides = [score_outcomes(ids, np.array(scores), None, right=False) for scores in (base, target)]
    return withhold_sure_passes(metric, judge_quality(metric, sides[0], sides[1], budgets))


@pytest.mark.parametrize("better", [True, False])
@pytest.mark.parametrize("right", [0, 10, 40])
def test_a_base_near_the_worst_value_is_inconclusive(right: int, better: bool) -> None:
    base = [1.0] * right + [0.0] * (2000 - right)
    if not better:
        base = [1 - score for score in base]
    judged = judge(base, base, QualityBudget("drop_points", 2.0), better=better)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "a budget that cannot fail shows nothing" in str(judged.withheld)
    assert judged.n_needed is None


def test_a_base_above_the_limit_is_judged_as_before() -> None:
    scores = [1.0] * 41 + [0.0] * 1959
    judged = judge(scores, scores, QualityBudget("drop_points", 2.0))
    assert (judged.verdict, judged.withheld) == (Verdict.PASS, None)


def test_a_two_sided_budget_can_still_fail() -> None:
    scores = [0.0] * 2000
    two_sided = QualityBudget("equivalent_points", 2.0)
    assert judge(scores, scores, two_sided).verdict is Verdict.PASS
    judged = judge(scores, [1.0] * 100 + [0.0] * 1900, two_sided)
    assert judged.verdict is Verdict.FAIL


def test_only_the_budget_that_cannot_fail_is_withheld() -> None:
    scores = [1.0] * 10 + [0.0] * 1990
    budgets = QualityBudget("drop_points", 2.0), QualityBudget("floor", 0.5)
    assert [budget.verdict for budget in judge(scores, scores, *budgets).budgets] == [
        Verdict.INCONCLUSIVE,
        Verdict.FAIL,
    ]
