"""Judgements as the record has them: every key, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slimgate.judge.budget_kinds import (
    BudgetKind,
    OnInconclusive,
    QualityBudget,
    allowed_drop,
    ends_run,
    list_actions,
)
from slimgate.judge.evidence import Changed
from slimgate.judge.facts import budget_facts, quality_facts, since_facts
from slimgate.judge.quality import undecided_verdicts, waiting_facts
from slimgate.judge.verdict import BudgetVerdict, QualityJudgement, Verdict

DROP = BudgetVerdict("drop_points", 1.0, Verdict.PASS, "as agreed", None)
FLOOR = BudgetVerdict(
    "floor",
    0.8,
    Verdict.INCONCLUSIVE,
    None,
    4000,
    0.81,
    (0.79, 0.83),
    builds=3,
    builds_needed=7,
    needs_both=True,
)
JUDGED = QualityJudgement(
    metric="accuracy",
    teacher=0.91,
    value=0.9,
    drop_points=1.5,
    interval=(0.5, 2.5),
    level=0.9,
    method="Tango, grouped",
    n=872,
    n_needed=4000,
    budgets=(DROP, FLOOR),
    verdict=Verdict.INCONCLUSIVE,
    band="small",
    groups=109,
    design_effect=1.25,
    changed=Changed(right_to_wrong=20, wrong_to_right=7),
    variance=0.03,
    warnings=("few rows",),
)
DROP_FACTS = {
    "kind": "drop_points",
    "limit": 1.0,
    "verdict": "PASS",
    "reason": "as agreed",
    "on_inconclusive": "fail",
    "n_needed": None,
    "value": None,
    "interval": None,
    "fail_interval": None,
    "builds": None,
    "builds_needed": None,
    "needs_both": False,
    "runs_needed": None,
    "capped": None,
}
FLOOR_FACTS = {
    "kind": "floor",
    "limit": 0.8,
    "verdict": "INCONCLUSIVE",
    "reason": None,
    "on_inconclusive": "warn",
    "n_needed": 4000,
    "value": 0.81,
    "interval": [0.79, 0.83],
    "fail_interval": None,
    "builds": 3,
    "builds_needed": 7,
    "needs_both": True,
    "runs_needed": None,
    "capped": None,
}


def test_a_judged_metric_is_written_with_every_key() -> None:
    assert quality_facts(JUDGED, "the line", ["fail", "warn"]) == {
        "teacher": 0.91,
        "value": 0.9,
        "drop_points": 1.5,
        "interval": [0.5, 2.5],
        "level": 0.9,
        "method": "Tango, grouped",
        "n": 872,
        "n_needed": 4000,
        "budgets": [DROP_FACTS, FLOOR_FACTS],
        "verdict": "INCONCLUSIVE",
        "band": "small",
        "groups": 109,
        "design_effect": 1.25,
        "variance": 0.03,
        "warnings": ["few rows"],
        "message": "the line",
        "unit": "points",
        "strays": None,
        "runs": None,
    }


def test_a_metric_without_budget_and_interval_is_written_so() -> None:
    found = quality_facts(replace(JUDGED, interval=None, budgets=(), verdict=None), "m")
    assert (found["interval"], found["budgets"], found["verdict"]) == (None, [], None)


def test_a_budget_is_written_without_a_wish_where_it_has_none() -> None:
    assert budget_facts(DROP) == {**DROP_FACTS, "on_inconclusive": None}


def test_a_judgement_against_a_baseline_has_every_key() -> None:
    expected = {
        "baseline": 0.91,
        "value": 0.9,
        "drop_points": 1.5,
        "unit": "points",
        "interval": [0.5, 2.5],
        "level": 0.9,
        "method": "Tango, grouped",
        "n": 872,
        "n_needed": 4000,
        "right_to_wrong": 20,
        "wrong_to_right": 7,
        "budgets": [DROP_FACTS, FLOOR_FACTS],
        "verdict": "INCONCLUSIVE",
        "warnings": ["few rows"],
        "message": "the line",
    }
    assert since_facts(JUDGED, ["fail", "warn"], "the line") == expected
    bare = replace(JUDGED, interval=None, changed=None, budgets=(), verdict=None)
    none = {"interval": None, "right_to_wrong": None, "wrong_to_right": None, "budgets": [], "verdict": None}
    assert since_facts(bare, [], "the line") == {**expected, **none}


def test_as_many_budgets_as_wishes_are_written() -> None:
    with pytest.raises(ValueError, match="shorter"):
        since_facts(JUDGED, ["fail"], "m")


def test_budgets_of_rows_that_cannot_be_paired_are_undecided() -> None:
    budgets = [QualityBudget("drop_points", 1.0, "as agreed"), QualityBudget("floor", 0.8)]
    assert undecided_verdicts(budgets) == (
        BudgetVerdict("drop_points", 1.0, Verdict.INCONCLUSIVE, "as agreed", None),
        BudgetVerdict("floor", 0.8, Verdict.INCONCLUSIVE, None, None),
    )


def test_a_budget_that_waits_for_the_next_run_has_every_key() -> None:
    assert waiting_facts(QualityBudget("floor", 0.8, "as agreed"), "warn") == {
        "kind": "floor",
        "limit": 0.8,
        "reason": "as agreed",
        "on_inconclusive": "warn",
    }


@pytest.mark.parametrize(
    ("verdict", "action", "expected"),
    [
        ("PASS", "fail", False),
        ("FAIL", "fail", True),
        ("FAIL", "warn", True),
        ("FAIL", None, True),
        ("INCONCLUSIVE", "fail", True),
        ("INCONCLUSIVE", "warn", False),
        ("INCONCLUSIVE", None, True),
    ],
)
def test_a_budget_ends_the_run(verdict: str, action: OnInconclusive | None, expected: bool) -> None:
    assert ends_run(Verdict(verdict), action) is expected


def test_no_verdict_ends_no_run() -> None:
    assert not ends_run(None, "fail")


@pytest.mark.parametrize("default", ["fail", "warn"])
def test_a_budget_without_an_action_takes_the_default(default: OnInconclusive) -> None:
    actions: list[OnInconclusive | None] = ["warn", None, "fail"]
    budgets = [QualityBudget("drop_points", 1.0, on_inconclusive=action) for action in actions]
    assert list_actions(budgets, default) == ["warn", default, "fail"]


@pytest.mark.parametrize(
    ("kind", "limit", "teacher", "drop"),
    [
        ("drop_points", 2.0, 0.9, 0.02),
        ("drop_relative", 0.05, 0.8, 0.04),
        ("error_increase_relative", 0.5, 0.8, 0.1),
        ("increase_relative", 0.02, 20.0, 0.4),
        ("floor", 0.7, 0.9, 0.2),
        ("ceiling", 0.5, 0.2, 0.3),
    ],
)
def test_the_largest_drop_that_a_budget_allows(
    kind: BudgetKind, limit: float, teacher: float, drop: float
) -> None:
    assert allowed_drop(QualityBudget(kind, limit), teacher) == pytest.approx(drop)
