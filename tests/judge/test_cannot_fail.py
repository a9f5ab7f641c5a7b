"""A budget that no model can break gives no PASS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.prediction_rows import write_predictions

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.behaviour_budgets import BehaviourBudgets, SliceName
from slimgate.judge.budget_tables import SliceBudget
from slimgate.judge.cannot_fail import withhold_sure_passes
from slimgate.judge.score_metric import score_metric, score_outcomes
from slimgate.judge.verdict import QualityJudgement
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.files import read_predictions
from slimgate.logs.predictions.judge import judge_changes
from slimgate.logs.predictions.pairs import pair_predictions


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
    "the base is 0.004 for label c, and the worst value is 0, so no model can lose more than 3 points there: "
    "a budget that cannot fail shows nothing"
)


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


def test_a_slice_that_cannot_fail_is_not_shown_inside(tmp_path: Path) -> None:
    budgets = BehaviourBudgets(slices={"accuracy": SliceBudget(drop_points=3.0)})
    facts = judge_labels(tmp_path, budgets, RARE)
    assert facts.verdict is Verdict.INCONCLUSIVE
    assert "INCONCLUSIVE, 1 inside, 1 undecided (worst: label c" in facts.message
    assert facts.message.endswith(SURE)
    others = judge_labels(tmp_path, budgets, {"a": (900, 900), "b": (500, 500)})
    assert (others.verdict, "cannot fail" in others.message) == (Verdict.PASS, False)
    lost = judge_labels(tmp_path, budgets, {**RARE, "a": (900, 700)})
    assert lost.verdict is Verdict.FAIL
