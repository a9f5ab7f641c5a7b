"""Facts of verdicts that no other test states: reasons, rows needed, values, ends of the range."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.capped import CappedRows, judge_with_share_above
from slimgate.judge.latency_budgets import SpeedBudget
from slimgate.judge.load_tests import MEDIAN, judge_ratio
from slimgate.judge.metrics import load_metric
from slimgate.judge.power import make_plan
from slimgate.judge.scores.choice_letter import Params, score
from slimgate.outcomes import ClassOutcomes
from slimgate.results.base import BudgetFacts
from slimgate.results.tool_logs import TimeRatioFacts

Counted = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]


@pytest.mark.parametrize("kind", ["drop_points", "equivalent_points", "drop_relative", "floor"])
def test_the_reason_of_a_budget_stands_beside_its_verdict(counted: Counted, kind: str) -> None:
    limit = 0.5 if kind in ("drop_relative", "floor") else 2.0
    budget = QualityBudget(kind, limit, reason="as agreed")  # type: ignore[arg-type]
    judgement = judge_quality(load_metric("accuracy"), *counted(400, 6, 6), [budget])
    assert [judged.reason for judged in judgement.budgets] == ["as agreed"]


def test_an_undecided_floor_says_how_many_rows_would_decide(counted: Counted) -> None:
    budget = QualityBudget("floor", 0.95)
    [judged] = judge_quality(load_metric("accuracy"), *counted(400, 16, 0), [budget]).budgets
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.n_needed is not None
    # (1.645 + 0.842)² × 0.04 × 0.96 / 0.01²
    assert judged.n_needed == pytest.approx(2_375, rel=0.35)


def test_a_speed_up_has_its_value_and_its_claimed_interval() -> None:
    ratio = TimeRatioFacts(
        part="answer",
        quantile=MEDIAN,
        base=100.0,
        target=50.0,
        ratio=2.0,
        interval=(1.8, 2.2),
        noise_floor=0.0,
        claimed_interval=(1.8, 2.2),
        counted=(400, 400),
    )
    judged = judge_ratio(ratio, SpeedBudget(speedup_min=1.5, reason="as agreed"))
    assert (judged.kind, judged.limit, judged.reason) == ("speedup_min", 1.5, "as agreed")
    assert (judged.value, judged.interval) == (2.0, (1.8, 2.2))


@pytest.mark.parametrize(("cap", "share"), [(1.0, 0.01 / 8), (2.0, 0.01 / 16)])
def test_the_share_above_the_cap_is_the_budget_over_eight_caps(cap: float, share: float) -> None:
    rows = CappedRows(np.zeros(5_000), np.ones(5_000), None, cap)
    judged = BudgetFacts(kind="mean_max", limit=0.01, verdict=Verdict.PASS, value=0.0, interval=(0.0, 0.001))
    facts = judge_with_share_above(judged, rows, 0.01, allowed=0.01, above_max=None, uncapped=0.0)
    assert facts.capped is not None
    assert facts.capped.above_max == pytest.approx(share)


@pytest.mark.parametrize(
    ("answer", "reference", "rate"),
    [("(B)", "B", 1.0), ("(B)", "C", 0.0), ("no idea", "B", 0.0), ("no idea", None, 0.0)],
)
def test_an_answer_without_a_letter_is_wrong(answer: str, reference: str | None, rate: float) -> None:
    assert score.rate(Params(), answer, reference) == rate


def test_a_plan_shows_drops_of_the_budget_and_twice_the_budget() -> None:
    planned = make_plan(1_000, 0.1, 0.02, analyses=1)
    assert planned.at_budget is not None
    assert planned.twice is not None
    assert (planned.at_budget.drop, planned.twice.drop) == (0.02, 0.04)
