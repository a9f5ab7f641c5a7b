"""The gate of memory: readings of a tiny suite in, parts of the record and a failed test out."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import tiny_run

from slimgate.plugin.gates import make_test_module
from slimgate.plugin.gates.size import test_memory as memory_gate
from slimgate.results.checks import TEACHER
from slimgate.results.memory import MemoryFacts
from slimgate.run.gate_results import GateResult
from slimgate.run.measure.memory import MemoryReading
from slimgate.run.run import SuiteRun

pytestmark = pytest.mark.slow

MB = 1024**2
BUDGETS = """[budgets.variants.shorter]
memory = { memory_ratio_max = 0.8 }
[measure]
memory = true"""


def taken(*peaks: int, device: int | None = None) -> list[MemoryReading]:
    return [
        MemoryReading(50 * MB, peak * MB - 2, peak * MB - 3, peak * MB, device and device * MB, 1.5)
        for peak in peaks
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    return tiny_run(tmp_path_factory.mktemp("memory"), **{"[measure]": BUDGETS})


def gate(run: SuiteRun, name: str) -> dict[str, MemoryFacts]:
    """The facts on memory that the gate reports, by model; raises where it fails."""
    parts: list[GateResult] = []
    try:
        memory_gate(run.suite, run.handle(TEACHER), run.handle(name), parts.append)
    finally:
        run.parts = parts  # type: ignore[attr-defined]
    return {one.variant: one.facts for one in parts if isinstance(one.facts, MemoryFacts)}


def test_a_real_reading_of_a_real_model_is_in_the_record(run: SuiteRun) -> None:
    """One process for each model, without a budget."""
    run._memory.clear()
    run._memory[TEACHER] = taken(900)
    found = gate(run, "pruned")
    own = found["pruned"]
    assert own.peak_bytes is not None
    assert own.resident_after_load_bytes is not None
    assert own.baseline_bytes is not None
    assert own.baseline_bytes + 50 * MB < own.resident_after_load_bytes <= own.peak_bytes  # torch is large
    assert (own.readings, own.spread, own.verdict, own.workload) == (1, None, None, "b32")
    assert own.ratio == own.peak_bytes / (900 * MB)
    assert found[TEACHER].peak_bytes == 900 * MB
    assert found[TEACHER].ratio is None


def test_a_variant_over_its_budget_fails_by_medians_of_six(run: SuiteRun) -> None:
    run._memory.update({TEACHER: taken(100, 102, *[101] * 4), "shorter": taken(90, 92, *[91] * 4)})
    with pytest.raises(pytest.fail.Exception, match=r"shorter: peak memory 91.0 vs 101.0 MB, .* FAIL"):
        gate(run, "shorter")
    told = next(one.facts for one in run.parts if one.key == ("memory", "shorter", ""))  # type: ignore[attr-defined]
    assert (told.ratio, told.spread, told.readings) == (91 / 101, (90 / 102, 92 / 100), 6)
    assert told.peaks == [90 * MB, 92 * MB, *[91 * MB] * 4]
    assert told.budgets[0].kind == "memory_ratio_max"


def test_a_variant_inside_its_budget_passes(run: SuiteRun) -> None:
    run._memory.update({TEACHER: taken(100, 102, *[101] * 4), "shorter": taken(70, 72, *[71] * 4)})
    assert gate(run, "shorter")["shorter"].verdict == "PASS"


def test_on_a_device_its_own_memory_is_what_is_judged(run: SuiteRun) -> None:
    run._memory.update({TEACHER: taken(*[100] * 6, device=8), "shorter": taken(*[99] * 6, device=4)})
    told = gate(run, "shorter")["shorter"]
    assert (told.ratio, told.verdict, told.device_peak_bytes) == (0.5, "PASS", 4 * MB)


def test_a_suite_that_does_not_ask_has_no_such_test(run: SuiteRun, tmp_path: Path) -> None:
    assert hasattr(make_test_module(run.suite), "test_memory")
    assert not hasattr(make_test_module(tiny_run(tmp_path).suite), "test_memory")
