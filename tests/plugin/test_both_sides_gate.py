"""A suite with a budget on both sides: plan, gate, self-test and report of a real run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest, write_clone

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "both sides"
extends = "own_plugins.toml"
threads = 1

[task]
source = { rows = 1500 }
splits = { train = 400, selection = 100, gate = 900 }

[teacher]
model = "../model"

[variants]
forget_class = { steps = [{ "tools.trust.planted_faults:forget_class" = {} }] }

[budgets]
accuracy = { equivalent_points = 3.0 }

[measure]
metrics = ["accuracy"]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = write_clone(tmp_path_factory.mktemp("clone"), "both.toml", SUITE)
    return run_pytest(folder, "bench/both.toml", "-v", "-k", "quality or selftest or behaviour")


def test_the_gate_judges_by_both_sides(ran: Ran) -> None:
    assert ran.code == 1, ran.out
    budgets = ran.find_variant("both", "forget_class")["quality"]["accuracy"]["budgets"]
    (two_sided,) = [budget for budget in budgets if budget["kind"] == "equivalent_points"]
    assert two_sided["verdict"] == "FAIL"
    assert two_sided["fail_interval"][0] > 3.0
    assert "budget ±3.0" in "\n".join(ran.lines)


def test_the_self_test_plants_a_gain_too(ran: Ran) -> None:
    fault = ran.record("both")["self_test"]["planted_fault"]
    assert fault["verdict"] == "FAIL", fault
    assert "of a budget of" in fault["message"]


def test_rows_that_turned_right_are_in_the_record(ran: Ran) -> None:
    flips = ran.find_variant("both", "forget_class")["behaviour"]["flips"]
    assert len(flips["quoted_better"]) == min(10, flips["wrong_to_right"])


def test_the_plan_names_the_rows_of_both_sides(tmp_path: Path) -> None:
    folder = write_clone(tmp_path, "both.toml", SUITE)
    plan = run_pytest(folder, "bench/both.toml", "--slimgate-plan")
    assert "equivalent_points" in plan.out
