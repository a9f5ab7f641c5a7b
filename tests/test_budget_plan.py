"""slimgate.budget_plan: which budgets are planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimgate.budget_plan import GateGroups, expected_changes, planned_budgets
from slimgate.outlook import CONVERTED, TRAINED, drop_outlook, flips_outlook
from tests.tiny_suite import tiny_run


def test_only_what_gates_has_a_budget_that_rows_must_decide(tmp_path: Path) -> None:
    budgets = "[budgets]\naccuracy = { drop_points = 1.0 }\n\n[measure]\n"
    suite = tiny_run(tmp_path, **{"[measure]\n": budgets}).suite
    planned = planned_budgets(suite, GateGroups((1,) * 100), None)
    assert {name for one in planned for name in one.variants} == set(suite.variants)
    first, *others = suite.variants
    freed = {**suite.variants, first: replace(suite.variants[first], gated=False, reason="to look at")}
    planned = planned_budgets(replace(suite, variants=freed), GateGroups((1,) * 100), None)
    assert {name for one in planned for name in one.variants} == set(others)


def test_the_plan_knows_what_learns_again_from_what_is_only_converted(tmp_path: Path) -> None:
    suite = tiny_run(tmp_path).suite
    learns = {name for name in suite.variants if expected_changes(suite, name) == TRAINED}
    assert learns == {
        name
        for name, variant in suite.variants.items()
        if any("train" in step.reads for step in variant.steps)
        or (variant.parent in suite.variants and expected_changes(suite, variant.parent) == TRAINED)
    }


def test_fifty_groups_cannot_show_two_points_however_large_they_are() -> None:
    assert drop_outlook((40,) * 50, 0.02, CONVERTED).word == "cannot decide"
    assert drop_outlook((400,) * 50, 0.02, CONVERTED).word == "cannot decide"
    assert drop_outlook((1,) * 2000, 0.02, CONVERTED).word == "can decide"


def test_flips_are_planned_by_what_an_equal_variant_turns() -> None:
    assert flips_outlook((1,) * 2000, 0.04, CONVERTED).word == "can decide"
    # half of 12 % turn from right to wrong
    assert flips_outlook((1,) * 2000, 0.06, TRAINED).word == "may decide"
    assert flips_outlook((1,) * 30, 0.04, CONVERTED).word == "cannot decide"


def test_a_metric_that_is_not_of_single_rows_waits_for_a_first_run(tmp_path: Path) -> None:
    budgets = "[budgets]\nf1_macro = { drop_points = 1.0 }\n\n[measure]\n"
    suite = tiny_run(tmp_path, **{"[measure]\n": budgets}).suite
    (line,) = {one.line.split("(")[-1] for one in planned_budgets(suite, GateGroups((1,) * 100), None)}
    assert line == "a first run shows), unknown"
