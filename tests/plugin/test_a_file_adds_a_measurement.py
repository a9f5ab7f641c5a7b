"""One file adds a measurement: suite, schema, plan, demands, comparison and reference know it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.added_package import add_package
from support.tiny_suite import make_tiny_run

from slimgate._system import digests
from slimgate.plugin.plan_text import list_plan_lines
from slimgate.record.comparing.weakenings import find_weakenings
from slimgate.run.demands import make_demands
from slimgate.run.gate_results import list_budgeted_checks
from slimgate.run.result_keys import make_results_keys
from slimgate.run.run import SuiteRun
from slimgate.suite.schema import make_suite_schema
from tools.reference.plugins import make_measurements_page

CODE = '''
from slimgate import Measurement


class Energy(Measurement):
    """The energy of a call."""

    title = "energy"
    unit = "J"

    def measure(self, model):
        return 1.0
'''
ENTRY = "[slimgate.measurements]\nenergy = energy_meter:Energy\n"
MEASURE = "[measure]\n"
BUDGET = """
[budgets]
measurements.energy = { value_ratio_max = 0.8, value_max = 3.0 }
[budgets.variants.pruned]
measurements.energy = { value_max = "off", reason = "it is for servers" }
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[None]:
    with add_package(tmp_path / "packages", "energy_meter", CODE, ENTRY):
        yield


def run_with(folder: Path, budget: str) -> SuiteRun:
    return make_tiny_run(folder, **{MEASURE: f"{budget}\n{MEASURE}"})


@pytest.mark.usefixtures("package")
def test_the_suite_its_plan_and_its_checks_know_it(tmp_path: Path) -> None:
    run = run_with(tmp_path, BUDGET)
    suite = run.suite
    assert suite.measurements == (("shorter", "energy"), ("pruned", "energy"))
    kinds = {name: [b.kind for b in suite.budgets[name].measurements["energy"]] for name in suite.variants}
    assert kinds == {"shorter": ["value_ratio_max", "value_max"], "pruned": ["value_ratio_max"]}
    [off] = suite.budgets["pruned"].switched_off
    assert (off.budget, off.kind, off.reason) == ("measurement energy", "value_max", "it is for servers")
    check = ("measurement energy", ("measurement", "shorter", "energy"))
    assert check in list_budgeted_checks(suite, "shorter")
    plan = "\n".join("".join(text for text, _ in line) for line in list_plan_lines(run, None))
    assert "energy, 20 readings" in " ".join(plan.split())


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("later", "change"),
    [
        ("measurements.energy = { value_ratio_max = 0.9, value_max = 3.0 }", "0.8"),
        ("measurements.energy = { value_ratio_max = 0.8 }", "value_max"),
        ("accuracy = { drop_points = 2.0 }", "value_ratio_max"),
    ],
    ids=["looser", "one limit less", "no limit"],
)
def test_a_weaker_budget_is_named(tmp_path: Path, later: str, change: str) -> None:
    old, new = (
        make_demands(run_with(tmp_path, budgets).suite) for budgets in (BUDGET, f"[budgets]\n{later}\n")
    )
    changes = [weakening.change for weakening in find_weakenings(old, new, accepted=None)]
    assert [line for line in changes if "measurement energy" in line and change in line], changes


@pytest.mark.usefixtures("package")
def test_schema_and_reference_list_it() -> None:
    budgets = make_suite_schema()["properties"]["budgets"]["properties"]["measurements"]
    assert {"energy", "load_time"} <= budgets["properties"].keys()
    assert "value_ratio_max" in json.dumps(make_suite_schema())
    assert "\n## energy\n\nThe energy of a call." in make_measurements_page()


def test_new_code_drops_the_results_of_earlier_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the class, and of the module that a suite names."""
    budget = BUDGET.replace("measurements.energy", 'measurements."named_meter:meter"')

    def keys(name: str, of_class: str, of_name: str) -> dict[str, str]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "own_meter.py").write_text(of_class, "utf-8")
        (folder / "named_meter.py").write_text(of_name, "utf-8")
        for module in ("own_meter", "named_meter"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        for cached in (
            digests._parse_module,
            digests._find_source,
            digests._list_counted_imports,
            digests._digest_module,
        ):
            cached.cache_clear()
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            run = run_with(tmp_path, budget)
            return make_results_keys(run.suite, run.rows, "shorter", {"teacher": "t", "shorter": "s"})

    named = "from own_meter import Energy\n\nmeter = Energy()\n"
    first = keys("first", CODE, named)
    assert keys("same", CODE, named) == first
    of_class = keys("class", CODE.replace("1.0", "2.0"), named)
    of_name = keys("name", CODE, f"{named}meter.readings = 6\n")
    for changed in (of_class, of_name):
        assert {kind for kind in first if changed[kind] != first[kind]} == {"measurement"}
