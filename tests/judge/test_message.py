from __future__ import annotations

from dataclasses import replace

import pytest

from slimgate.judge import QualityJudgement, Verdict
from slimgate.judge.message import format_message, format_teacher_message
from slimgate.results.base import BudgetFacts

FAILED = QualityJudgement(
    metric="accuracy",
    teacher=0.911,
    value=0.884,
    drop_points=2.7,
    interval=(1.8, 3.8),
    level=0.9,
    method="Tango",
    n=872,
    n_needed=None,
    budgets=(BudgetFacts(kind="drop_points", limit=1.0, verdict=Verdict.FAIL),),
    band="depends on the use",
    groups=None,
    design_effect=None,
    variance=None,
    changed=None,
    warnings=(),
)
FLOOR = BudgetFacts(kind="floor", limit=0.9, verdict=Verdict.FAIL, value=0.884, interval=(0.865, 0.9012))
RELATIVE = BudgetFacts(
    kind="drop_relative", limit=0.02, verdict=Verdict.FAIL, value=0.03, interval=(0.0199, 0.042)
)
ERRORS = BudgetFacts(kind="error_increase_relative", limit=0.5, verdict=Verdict.FAIL)
UNDECIDED = replace(
    FAILED,
    value=0.908,
    drop_points=0.3,
    interval=(-0.6, 1.3),
    n_needed=3489,
    budgets=(BudgetFacts(kind="drop_points", limit=1.0, verdict=Verdict.INCONCLUSIVE, n_needed=3489),),
)


@pytest.mark.parametrize(
    ("judgement", "line"),
    [
        pytest.param(
            FAILED,
            "int8: accuracy 0.884 vs 0.911, drop 2.7 points [1.8, 3.8], budget 1.0 (n=872): FAIL",
            id="FAIL of style.md",
        ),
        pytest.param(
            replace(FAILED, method="Tango, grouped", groups=109),
            "int8: accuracy 0.884 vs 0.911, drop 2.7 points [1.8, 3.8], budget 1.0 "
            "(n=872 in 109 groups): FAIL",
            id="grouped rows",
        ),
        pytest.param(
            UNDECIDED,
            "int8: accuracy 0.908 vs 0.911, drop 0.3 points [-0.6, 1.3], budget 1.0 (n=872): "
            "INCONCLUSIVE, about 3,500 rows would decide",
            id="INCONCLUSIVE of style.md",
        ),
        pytest.param(
            replace(UNDECIDED, groups=218),
            "int8: accuracy 0.908 vs 0.911, drop 0.3 points [-0.6, 1.3], budget 1.0 (n=872 in 218 groups): "
            "INCONCLUSIVE, about 3,500 rows in 870 groups would decide",
            id="INCONCLUSIVE with grouped rows",
        ),
        pytest.param(
            replace(UNDECIDED, n_needed=12_345_678),
            "int8: accuracy 0.908 vs 0.911, drop 0.3 points [-0.6, 1.3], budget 1.0 (n=872): "
            "INCONCLUSIVE, too close to its budget: about 12,000,000 rows would decide",
            id="rows that nobody has",
        ),
        pytest.param(
            replace(UNDECIDED, n_needed=None, budgets=(replace(UNDECIDED.budgets[0], n_needed=None),)),
            "int8: accuracy 0.908 vs 0.911, drop 0.3 points [-0.6, 1.3], budget 1.0 (n=872): "
            "INCONCLUSIVE, the drop equals its budget: no number of rows would decide",
            id="no number of rows",
        ),
        pytest.param(
            replace(FAILED, budgets=()),
            "int8: accuracy 0.884 vs 0.911, drop 2.7 points [1.8, 3.8] (n=872): not gated",
            id="no budget",
        ),
        pytest.param(
            replace(FAILED, budgets=(*FAILED.budgets, FLOOR)),
            "int8: accuracy 0.884 vs 0.911, drop 2.7 points [1.8, 3.8], budget 1.0, "
            "floor 0.90: 0.884 [0.865, 0.901] (n=872): FAIL",
            id="two budgets",
        ),
        pytest.param(
            replace(FAILED, budgets=(RELATIVE, ERRORS)),
            "int8: accuracy 0.884 vs 0.911, drop 2.7 points [1.8, 3.8], "
            "drop_relative 0.02: 0.0300 [0.0199, 0.0420], error_increase_relative 0.50 "
            "(n=872): FAIL",
            id="relative budgets, the second without a finite value",
        ),
        pytest.param(
            replace(UNDECIDED, n_needed=None, budgets=(replace(FLOOR, verdict=Verdict.INCONCLUSIVE),)),
            "int8: accuracy 0.908 vs 0.911, drop 0.3 points [-0.6, 1.3], "
            "floor 0.90: 0.884 [0.865, 0.901] (n=872): "
            "INCONCLUSIVE, the value that floor limits equals its limit: no number of rows would decide",
            id="no number of rows for a floor",
        ),
        pytest.param(
            replace(
                UNDECIDED,
                n_needed=None,
                budgets=(*UNDECIDED.budgets, replace(FLOOR, verdict=Verdict.INCONCLUSIVE)),
            ),
            "int8: accuracy 0.908 vs 0.911, drop 0.3 points [-0.6, 1.3], budget 1.0, "
            "floor 0.90: 0.884 [0.865, 0.901] (n=872): "
            "INCONCLUSIVE, the value that floor limits equals its limit: no number of rows would decide",
            id="of two budgets the floor can never be decided",
        ),
        pytest.param(
            replace(FAILED, drop_points=-0.01, interval=(-0.04, 0.03)),
            "int8: accuracy 0.884 vs 0.911, drop 0.0 points [0.0, 0.0], budget 1.0 (n=872): FAIL",
            id="no negative zero",
        ),
        pytest.param(
            replace(FAILED, metric="perplexity", teacher=22.95, value=23.41, drop_points=2.0, unit="percent"),
            "int8: perplexity 23.41 vs 22.95, grown 2.0 % [1.8, 3.8], budget 1.0 (n=872): FAIL",
            id="percent of a perplexity",
        ),
    ],
)
def test_the_gates_line(judgement: QualityJudgement, line: str) -> None:
    assert format_message("int8", judgement) == line


def test_a_bound_is_not_rounded_onto_its_budget() -> None:
    close = replace(FAILED, drop_points=0.5, interval=(0.1, 0.996))
    assert "drop 0.50 points [0.10, 1.00]" not in format_message("int8", close)
    assert "drop 0.500 points [0.100, 0.996], budget 1.000 " in format_message("int8", close)


def test_a_budget_is_shown_as_it_was_set() -> None:
    quarter = replace(
        FAILED,
        budgets=(BudgetFacts(kind="drop_points", limit=0.25, verdict=Verdict.FAIL),),
    )
    assert ", budget 0.25 (" in format_message("int8", quarter)


def test_the_line_of_a_teacher_has_its_own_value_and_rows() -> None:
    passed = replace(FAILED, budgets=(replace(FLOOR, verdict=Verdict.PASS),))
    line = "teacher: accuracy, floor 0.90: 0.884 [0.865, 0.901] (n=872): PASS"
    assert format_teacher_message(passed) == line
    assert format_teacher_message(replace(passed, groups=109)) == line.replace("n=872", "n=872 in 109 groups")


def test_beside_a_baseline_the_line_names_it() -> None:
    assert format_message("int8", FAILED, since="v1").startswith(
        "int8: accuracy 0.884 vs 0.911 in the baseline v1, drop 2.7 points"
    )


@pytest.mark.parametrize(("needed", "far"), [(87_200, False), (87_201, True)])
def test_rows_are_out_of_reach_from_a_hundred_times_as_many(needed: int, far: bool) -> None:
    assert ("too close to its budget" in format_message("int8", replace(UNDECIDED, n_needed=needed))) is far
