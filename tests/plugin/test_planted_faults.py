"""tools/trust/planted_faults.py on a tiny model: each costs more than twice the budget, and none
passes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest, write_clone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BUDGET = 2.0
FAULTS = ("forget_class", "turn_label_map", "shift_vocabulary", "lose_scales")
VARIANT = 'NAME = { steps = [{ "tools.trust.planted_faults:NAME" = {} }] }\n'
SUITE = """\
[suite]
title = "planted faults"
extends = "own_plugins.toml"
threads = 1

[task]
source = { rows = 1500 }
splits = { train = 400, selection = 100, gate = 900 }

[teacher]
model = "../model"

[variants]
VARIANTS
[measure]
metrics = ["accuracy", "f1_macro"]
""".replace("VARIANTS", "".join(VARIANT.replace("NAME", name) for name in FAULTS))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = write_clone(tmp_path_factory.mktemp("clone"), "faults.toml", SUITE)
    return run_pytest(folder, "bench/faults.toml", "-v", "-k", "quality or selftest")


def test_the_gate_stands_while_its_own_self_test_does(ran: Ran) -> None:
    assert ran.code == 1, ran.out
    assert ran.find_variant("faults", "rounded")["quality"]["accuracy"]["verdict"] != "FAIL"
    assert ran.record("faults")["self_test"]["identical"]["changed"] == 0
    assert ran.record("faults")["self_test"]["planted_fault"]["verdict"] == "FAIL"


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_does_not_pass(ran: Ran, name: str) -> None:
    facts = ran.find_variant("faults", name)["quality"]["accuracy"]
    assert facts["drop_points"] > 2 * BUDGET  # it is a fault: else the verdict would show nothing
    assert facts["verdict"] == "FAIL"
    assert ran.find_outcome(f"bench/faults.toml::test_quality[{name}-accuracy]") == "FAILED"
