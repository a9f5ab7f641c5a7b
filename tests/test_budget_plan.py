"""slimgate.budget_plan: which budgets are planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimgate.budget_plan import planned_budgets
from tests.tiny_suite import tiny_run


def test_only_what_gates_has_a_budget_that_rows_must_decide(tmp_path: Path) -> None:
    budgets = "[budgets]\naccuracy = { drop_points = 1.0 }\n\n[measure]\n"
    suite = tiny_run(tmp_path, **{"[measure]\n": budgets}).suite
    planned = planned_budgets(suite, 100, None)
    assert {name for one in planned for name in one.variants} == set(suite.variants)
    first, *others = suite.variants
    freed = {**suite.variants, first: replace(suite.variants[first], gated=False, reason="to look at")}
    planned = planned_budgets(replace(suite, variants=freed), 100, None)
    assert {name for one in planned for name in one.variants} == set(others)
