"""Judgements as the record has them: every key, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from slimgate.judge.budget_kinds import QualityBudget, compute_allowed_drop, list_actions
from slimgate.judge.evidence import ChangedRows
from slimgate.judge.facts import make_quality_facts, make_since_facts
from slimgate.judge.quality import make_undecided_verdicts
from slimgate.judge.verdict import QualityJudgement
from slimgate.results.base import BudgetFacts, OnInconclusive, Verdict, is_run_ending

DROP = BudgetFacts(kind="drop_points", limit=1.0, verdict=Verdict.PASS, reason="as agreed")
FLOOR = BudgetFacts(
    kind="floor",
    limit=0.8,
    verdict=Verdict.INCONCLUSIVE,
    n_needed=4000,
    value=0.81,
    interval=(0.79, 0.83),
    p_value=0.2,
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
    band="small",
    groups=109,
    design_effect=1.25,
    changed=ChangedRows(right_to_wrong=20, wrong_to_right=7),
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
    "p_value": None,
    "p_holds": None,
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
    "p_value": 0.2,
    "p_holds": None,
    "fail_interval": None,
    "builds": 3,
    "builds_needed": 7,
    "needs_both": True,
    "runs_needed": None,
    "capped": None,
}


def test_a_judged_metric_is_written_with_every_key() -> None:
    facts = make_quality_facts(JUDGED, "the line", ["fail", "warn"], measured="now")
    assert facts.model_dump(mode="json", exclude_unset=True) == {
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
        "measured": "now",
    }


def test_a_metric_without_budget_and_interval_is_written_so() -> None:
    facts = make_quality_facts(replace(JUDGED, interval=None, budgets=()), "m", measured="now")
    assert (facts.interval, facts.budgets, facts.verdict) == (None, [], None)


def test_a_budget_without_an_action_is_written_so() -> None:
    assert TypeAdapter(BudgetFacts).dump_python(DROP, mode="json") == {**DROP_FACTS, "on_inconclusive": None}


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
        "measured": "now",
    }
    facts = make_since_facts(JUDGED, ["fail", "warn"], "the line", measured="now")
    assert facts.model_dump(mode="json", exclude_unset=True) == expected
    bare = replace(JUDGED, interval=None, changed=None, budgets=())
    none = {"interval": None, "right_to_wrong": None, "wrong_to_right": None, "budgets": [], "verdict": None}
    facts = make_since_facts(bare, [], "the line", measured="now")
    assert facts.model_dump(mode="json", exclude_unset=True) == {**expected, **none}


def test_each_budget_needs_an_action() -> None:
    with pytest.raises(ValueError, match="shorter"):
        make_since_facts(JUDGED, ["fail"], "m", measured="now")


def test_budgets_of_rows_that_cannot_be_paired_are_undecided() -> None:
    budgets = [QualityBudget("drop_points", 1.0, "as agreed"), QualityBudget("floor", 0.8)]
    assert make_undecided_verdicts(budgets) == (
        BudgetFacts(kind="drop_points", limit=1.0, verdict=Verdict.INCONCLUSIVE, reason="as agreed"),
        BudgetFacts(kind="floor", limit=0.8, verdict=Verdict.INCONCLUSIVE),
    )


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
    assert is_run_ending(Verdict(verdict), action) is expected


def test_no_verdict_ends_no_run() -> None:
    assert not is_run_ending(None, "fail")


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
def test_the_largest_drop_that_a_budget_allows(kind: str, limit: float, teacher: float, drop: float) -> None:
    assert compute_allowed_drop(QualityBudget(kind, limit), teacher) == pytest.approx(drop)
