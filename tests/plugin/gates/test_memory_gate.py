"""The gate of memory: readings of a tiny suite in, parts of the record and a failed test out."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.plugin.gates import make_test_module
from slimgate.plugin.gates.figures import test_memory as memory_gate
from slimgate.results.checks import TEACHER
from slimgate.results.figures import MemoryFacts
from slimgate.run.gate_results import GateResult
from slimgate.run.measure.memory import MemoryReading
from slimgate.run.run import SuiteRun

pytestmark = pytest.mark.slow

MB = 1024**2
BUDGETS = """[budgets.variants.shorter]
memory = { memory_ratio_max = 0.8 }
[measure]
memory = true"""


def make_readings(*peaks: int, device: int | None = None) -> list[MemoryReading]:
    return [
        MemoryReading(50 * MB, peak * MB - 2, peak * MB - 3, peak * MB, device and device * MB, 1.5)
        for peak in peaks
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    return make_tiny_run(tmp_path_factory.mktemp("memory"), **{"[measure]": BUDGETS})


def gate(run: SuiteRun, name: str) -> dict[str, MemoryFacts]:
    """The facts on memory that the gate reports, by model; raises where it fails."""
    parts: list[GateResult] = []
    try:
        memory_gate(run.suite, run.make_handle(TEACHER), run.make_handle(name), parts.append)
    finally:
        run.parts = parts  # type: ignore[attr-defined]
    return {part.variant: part.facts for part in parts if isinstance(part.facts, MemoryFacts)}


def test_a_real_reading_of_a_real_model_is_in_the_record(run: SuiteRun) -> None:
    """One process for each model, without a budget."""
    run._memory.clear()
    run._memory[TEACHER] = make_readings(900)
    by_model = gate(run, "pruned")
    memory = by_model["pruned"]
    assert memory.peak_bytes is not None
    assert memory.resident_after_load_bytes is not None
    assert memory.baseline_bytes is not None
    assert (
        memory.baseline_bytes + 50 * MB < memory.resident_after_load_bytes <= memory.peak_bytes
    )  # torch is large
    assert (memory.readings, memory.spread, memory.verdict, memory.workload) == (1, None, None, "b32")
    assert memory.ratio == memory.peak_bytes / (900 * MB)
    assert by_model[TEACHER].peak_bytes == 900 * MB
    assert by_model[TEACHER].ratio is None


def test_a_variant_over_its_budget_fails_by_medians_of_six(run: SuiteRun) -> None:
    run._memory.update(
        {TEACHER: make_readings(100, 102, *[101] * 4), "shorter": make_readings(90, 92, *[91] * 4)}
    )
    with pytest.raises(pytest.fail.Exception, match=r"shorter: peak memory 91.0 vs 101.0 MB, .* FAIL"):
        gate(run, "shorter")
    memory = next(part.facts for part in run.parts if part.key == ("memory", "shorter", ""))  # type: ignore[attr-defined]
    assert (memory.ratio, memory.spread, memory.readings) == (91 / 101, (90 / 102, 92 / 100), 6)
    assert memory.peaks == [90 * MB, 92 * MB, *[91 * MB] * 4]
    assert memory.budgets[0].kind == "memory_ratio_max"


def test_a_variant_inside_its_budget_passes(run: SuiteRun) -> None:
    run._memory.update(
        {TEACHER: make_readings(100, 102, *[101] * 4), "shorter": make_readings(70, 72, *[71] * 4)}
    )
    assert gate(run, "shorter")["shorter"].verdict == "PASS"


def test_on_a_device_its_own_memory_is_what_is_judged(run: SuiteRun) -> None:
    run._memory.update(
        {TEACHER: make_readings(*[100] * 6, device=8), "shorter": make_readings(*[99] * 6, device=4)}
    )
    memory = gate(run, "shorter")["shorter"]
    assert (memory.ratio, memory.verdict, memory.device_peak_bytes) == (0.5, "PASS", 4 * MB)


def test_a_suite_that_does_not_ask_has_no_such_test(run: SuiteRun, tmp_path: Path) -> None:
    assert hasattr(make_test_module(run.suite), "test_memory")
    assert not hasattr(make_test_module(make_tiny_run(tmp_path).suite), "test_memory")
