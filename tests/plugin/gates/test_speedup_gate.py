"""The gate on speed: a budget is judged on every workload, each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.tiny_suite import make_tiny_run

from slimgate._system.timestamps import format_now
from slimgate.judge.speed import Speedup
from slimgate.plugin.gates import latency as gate
from slimgate.plugins.workloads import Workload
from slimgate.results.checks import TEACHER
from slimgate.results.latency import SpeedupFacts
from slimgate.run.duels import Duels, PlantedDelay
from slimgate.run.gate_results import GateResult, GateResults, list_awaited_budgets
from slimgate.run.model_handle import ModelHandle
from slimgate.run.run import SuiteRun

SUITE = """[budgets.variants.pruned]
latency = { speedup_min = 1.5 }

[measure]
workloads = [{ batch = 1 }, { batch = 16, tokens = 32 }]
"""
TWICE = Speedup(2.0, (1.9, 2.1), 2.0, 0.01, 12)
SLOWER = Speedup(0.8, (0.75, 0.85), 0.8, 0.01, 12)
DELAYED = Speedup(0.9, (0.88, 0.92), 0.9, 0.01, 12)


class TimedBefore(Duels):
    """Duels with their results, by workload, in place of timing."""

    def __init__(self, teacher: ModelHandle, speedups: dict[str, Speedup], workload: Workload) -> None:
        super().__init__(teacher)
        self._found, self._workload = speedups, workload

    def measure_speedup(  # the signature of Duels.measure_speedup
        self,
        variant: ModelHandle,  # noqa: ARG002
        workload: Workload,
        *,
        companions: Sequence[ModelHandle] = (),  # noqa: ARG002
        max_seconds: float | None = None,  # noqa: ARG002
    ) -> Speedup:
        return self._found[workload.id]

    def plant_delay(self) -> PlantedDelay:
        return PlantedDelay(self._workload, 0.1, DELAYED, format_now())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SuiteRun:
    monkeypatch.setattr(gate, "describe_not_timed", lambda _: None)  # whatever options these tests run with
    return make_tiny_run(tmp_path, **{"[measure]\n": SUITE})


def test_a_slow_workload_fails_though_another_is_fast(run: SuiteRun, request: pytest.FixtureRequest) -> None:
    first, second = run.suite.workloads
    duels = TimedBefore(run.make_handle(TEACHER), {first.id: TWICE, second.id: SLOWER}, second)
    variant, reported = run.make_handle("pruned"), list[GateResult]()
    gate.test_speedup(run.suite, run.make_handle(TEACHER), duels, variant, first, reported.append, request)
    with pytest.raises(pytest.fail.Exception, match="FAIL"):
        gate.test_speedup(
            run.suite, run.make_handle(TEACHER), duels, variant, second, reported.append, request
        )
    judged = {part.name: part.facts for part in reported if isinstance(part.facts, SpeedupFacts)}
    assert {name: facts.verdict for name, facts in judged.items()} == {
        first.id: "PASS",
        second.id: "FAIL",
    }
    assert [facts.budgets[0].limit for facts in judged.values()] == [1.5, 1.5]


def test_a_workload_that_was_not_timed_is_awaited(run: SuiteRun, request: pytest.FixtureRequest) -> None:
    first, second = run.suite.workloads
    duels = TimedBefore(run.make_handle(TEACHER), {first.id: TWICE}, second)
    reported: list[GateResult] = []
    gate.test_speedup(
        run.suite, run.make_handle(TEACHER), duels, run.make_handle("pruned"), first, reported.append, request
    )
    assert list_awaited_budgets(run.suite, "pruned", GateResults(reported)) == [f"latency {second.id}"]
