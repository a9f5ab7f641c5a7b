"""The gate of a measurement: its readings take turns, and a bad reading is one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.added_package import add_package
from support.tiny_suite import make_tiny_run

from slimgate.errors import MeasureError
from slimgate.plugin.gates.figures import test_measurement as gate
from slimgate.results.figures import MeasurementFacts
from slimgate.run.gate_results import GateResult
from slimgate.run.run import SuiteRun

CODE = """
from slimgate import Measurement, MeasureError

ORDER = []


class Meter(Measurement):
    title = "energy"
    unit = "J"
    readings = 6

    def measure(self, model):
        ORDER.append(model.name)
        return 2.0 if model.name == "teacher" else self.of_variant(model)

    def of_variant(self, model):
        return 1.0


class Zero(Meter):
    def of_variant(self, model):
        return 0


class Broken(Meter):
    def of_variant(self, model):
        return model.no_such_thing


class Text(Meter):
    def of_variant(self, model):
        return "3"


class Counted(Meter):
    readings = 1

    def of_variant(self, model):
        return 3


class Absent(Meter):
    def of_variant(self, model):
        raise MeasureError("this machine has no energy counter")
"""
BUDGET = '[budgets]\nmeasurements."meter:{}" = {{ value_ratio_max = {} }}\n'


@pytest.fixture
def package(tmp_path: Path) -> Iterator[None]:
    with add_package(tmp_path / "packages", "meter", CODE, ""):
        yield


def run_with(folder: Path, name: str, limit: float) -> SuiteRun:
    return make_tiny_run(folder, **{"[measure]\n": BUDGET.format(name, limit) + "[measure]\n"})


def measure(run: SuiteRun, name: str, **config: object) -> list[GateResult]:
    """config: attributes of pytest's config, such as `workerinput`."""
    results: list[GateResult] = []
    request: Any = SimpleNamespace(config=SimpleNamespace(**config))
    gate(
        run.suite,
        run.make_handle("teacher"),
        run.make_handle("shorter"),
        f"meter:{name}",
        results.append,
        request,
    )
    return results


@pytest.mark.usefixtures("package")
def test_the_models_take_turns_and_the_order_changes(tmp_path: Path) -> None:
    result = measure(run_with(tmp_path, "Meter", 0.6), "Meter")[-1]
    import meter  # type: ignore[import-not-found]

    assert meter.ORDER == ["teacher", "shorter", "shorter", "teacher"] * 3
    facts = result.facts
    assert isinstance(facts, MeasurementFacts)
    assert result.key == ("measurement", "shorter", "meter:Meter")
    assert (facts.teacher, facts.value, facts.ratio, facts.interval) == (2.0, 1.0, 0.5, (0.5, 0.5))
    assert facts.verdict == "PASS"


@pytest.mark.usefixtures("package")
def test_a_figure_over_its_limit_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"energy 1 \[1, 1\] vs 2 J.*value_ratio_max 0.4: FAIL"):
        measure(run_with(tmp_path, "Meter", 0.4), "Meter")


@pytest.mark.usefixtures("package")
def test_beside_other_workers_only_what_is_counted_is_measured(tmp_path: Path) -> None:
    run = run_with(tmp_path, "Meter", 0.6)
    with pytest.raises(pytest.fail.Exception, match="energy has a budget, but it was not measured: xdist"):
        measure(run, "Meter", workerinput={})
    counted = run_with(tmp_path, "Counted", 1.5)
    [*_, result] = measure(counted, "Counted", workerinput={})
    assert isinstance(result.facts, MeasurementFacts)
    assert (result.facts.value, result.facts.ratio, result.facts.verdict) == (3, 1.5, "PASS")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Zero", "shorter: measurement meter:Zero gave 0, expected a number above 0"),
        ("Text", "shorter: measurement meter:Text gave '3', expected a number above 0"),
        ("Broken", "shorter: measurement meter:Broken failed: AttributeError: 'BuiltModel' object has no"),
        ("Absent", "shorter: measurement meter:Absent failed: this machine has no energy counter"),
    ],
)
def test_a_bad_reading_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        measure(run_with(tmp_path, name, 0.6), name)
