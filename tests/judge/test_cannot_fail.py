"""A budget that no model can break gives no PASS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.prediction_rows import write_predictions

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.budget_tables import BehaviourBudgets, FlipsBudget, SliceBudget, SliceName
from slimgate.judge.cannot_fail import withhold_sure_passes
from slimgate.judge.score_metric import make_score_metric, make_score_outcomes
from slimgate.judge.verdict import QualityJudgement
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.files import read_predictions
from slimgate.logs.predictions.judge import judge_changes
from slimgate.logs.predictions.pairs import pair_predictions


def judge(
    base: list[float], target: list[float], *budgets: QualityBudget, better: bool = True
) -> QualityJudgement:
    metric = make_score_metric("m", higher_is_better=better, zero_one=False, score_range=(0.0, 1.0))
    ids = np.array([str(at) for at in range(len(base))])
    sides = [make_score_outcomes(ids, np.array(scores), None, right=False) for scores in (base, target)]
    return judge_quality(metric, sides[0], sides[1], budgets)


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


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(75.0, Verdict.INCONCLUSIVE), (99.9, Verdict.INCONCLUSIVE), (70.0, Verdict.FAIL)],
    ids=["as far as the worst value", "farther", "nearer"],
)
def test_a_two_sided_budget_that_cannot_fail_is_inconclusive(limit: float, verdict: Verdict) -> None:
    base, worst = [1.0] * 1500 + [0.0] * 500, [0.0] * 2000
    judged = judge(base, worst, QualityBudget("equivalent_points", limit))
    assert judged.verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        why = "from 0.75 to the farthest value 0, a model can change by at most 75 points, and the budget"
        assert why in str(judged.withheld)


@pytest.mark.parametrize(
    ("better", "kind", "limit", "allowed"),
    [(True, "error_increase_relative", 0.5, "37.5"), (False, "increase_relative", 0.5, "37.5")],
    ids=["errors", "value"],
)
def test_a_share_that_the_worst_model_keeps_is_inconclusive(
    better: bool, kind: str, limit: float, allowed: str
) -> None:
    base = [float(better)] * 500 + [float(not better)] * 1500
    worst = [float(not better)] * 2000
    judged = judge(base, worst, QualityBudget(kind, limit), better=better)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert f"a model can lose at most 25 points, and the budget allows {allowed}:" in str(judged.withheld)
    assert judged.budgets[0].p_value == 1.0
    smaller = judge(base, worst, QualityBudget(kind, 0.3), better=better)
    assert (smaller.verdict, smaller.withheld) == (Verdict.FAIL, None)


def test_only_the_budget_that_cannot_fail_is_withheld() -> None:
    scores = [1.0] * 10 + [0.0] * 1990
    budgets = QualityBudget("drop_points", 2.0), QualityBudget("floor", 0.5)
    assert [budget.verdict for budget in judge(scores, scores, *budgets).budgets] == [
        Verdict.INCONCLUSIVE,
        Verdict.FAIL,
    ]


def test_an_earlier_reason_to_withhold_a_pass_stays() -> None:
    metric = make_score_metric("m", higher_is_better=True, zero_one=False, score_range=(0.0, 1.0))
    scores = [1.0] * 10 + [0.0] * 1990
    judged = judge(scores, scores, QualityBudget("drop_points", 2.0))
    earlier = replace(judged, withheld="no label has rows")
    assert withhold_sure_passes(metric, earlier).withheld == "no label has rows"


def judge_labels(tmp_path: Path, budgets: BehaviourBudgets, right: dict[str, tuple[int, int]]) -> Any:
    """right: by label, how many of 1,000 rows base and target have right."""
    files = []
    for side, name in enumerate(("base", "target")):
        rows = [
            (f"{label}{at}", label, label if at < counts[side] else "other")
            for label, counts in right.items()
            for at in range(1000)
        ]
        columns = dict(zip(("id", "label", "prediction"), map(list, zip(*rows, strict=True)), strict=True))
        files.append(read_predictions(write_predictions(tmp_path / f"{name}.jsonl", columns), ColumnNames()))
    return judge_changes("int8", pair_predictions(*files), budgets, on_inconclusive="fail")


RARE = {"a": (900, 900), "c": (4, 0)}
SURE = (
    "from 0.004 for label c to the worst value 0, no model can lose more than 3 points: "
    "a budget that cannot fail shows nothing; choose a smaller limit"
)


def test_flips_of_fewer_right_rows_than_the_budget_are_undecided(tmp_path: Path) -> None:
    budgets = BehaviourBudgets(flips=FlipsBudget(flips_max_percent=5.0))
    facts = judge_labels(tmp_path, budgets, {"a": (40, 0), "b": (40, 0)})
    assert facts.verdict is Verdict.INCONCLUSIVE
    assert facts.message.endswith(
        "budget 5 % (n=2000): INCONCLUSIVE, only 4 % of the rows are right, so no more can turn wrong, "
        "and the budget allows 5 %: a budget that cannot fail shows nothing; choose a smaller limit or "
        "another budget"
    )
    passing = judge_labels(tmp_path, budgets, {"a": (60, 60), "b": (60, 60)})
    assert (passing.verdict, "cannot fail" in passing.message) == (Verdict.PASS, False)


def test_a_named_slice_near_the_worst_value_is_inconclusive(tmp_path: Path) -> None:
    name = SliceName("label", "c", "accuracy")
    budgets = BehaviourBudgets(named_slices={name: SliceBudget(drop_points=3.0)})
    facts = judge_labels(tmp_path, budgets, RARE)
    assert facts.verdict is Verdict.INCONCLUSIVE
    assert facts.message.endswith(f"INCONCLUSIVE, {SURE}")
    (part,) = [part for part in facts.slices if part.value == "c"]
    assert (part.own_verdict, part.own_n_needed) == (Verdict.INCONCLUSIVE, None)
    smaller = BehaviourBudgets(named_slices={name: SliceBudget(drop_points=0.3)})
    assert SURE[-30:] not in judge_labels(tmp_path, smaller, RARE).message


def test_no_number_of_rows_decides_a_slice_that_cannot_fail(tmp_path: Path) -> None:
    """29 of 1,000 rows are right and lost: the interval of the drop contains 3 points."""
    name = SliceName("label", "c", "accuracy")
    limit = SliceBudget(drop_points=3.0)
    budgets = BehaviourBudgets(slices={"accuracy": limit}, named_slices={name: limit})
    facts = judge_labels(tmp_path, budgets, {"a": (900, 900), "c": (29, 0)})
    (part,) = [part for part in facts.slices if part.value == "c"]
    assert part.interval[0] < 3.0 < part.interval[1]
    assert (part.verdict, part.n_needed) == (Verdict.INCONCLUSIVE, None)
    assert (part.own_verdict, part.own_n_needed) == (Verdict.INCONCLUSIVE, None)


def test_a_slice_that_cannot_fail_is_not_shown_inside(tmp_path: Path) -> None:
    budgets = BehaviourBudgets(slices={"accuracy": SliceBudget(drop_points=3.0)})
    facts = judge_labels(tmp_path, budgets, RARE)
    assert facts.verdict is Verdict.INCONCLUSIVE
    assert "INCONCLUSIVE, 1 inside, 1 undecided (worst: label c" in facts.message
    assert facts.message.endswith(SURE)
    passing = judge_labels(tmp_path, budgets, {"a": (900, 900), "b": (500, 500)})
    assert (passing.verdict, "cannot fail" in passing.message) == (Verdict.PASS, False)
    lost = judge_labels(tmp_path, budgets, {**RARE, "a": (900, 700)})
    assert (lost.verdict, "cannot fail" in lost.message) == (Verdict.FAIL, False)
