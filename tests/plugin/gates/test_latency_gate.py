"""The gate on milliseconds: budgets on quantiles are judged by the rounds that pytest-benchmark has timed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.gate_results import list_result_properties, make_gate_result
from support.tiny_suite import make_tiny_run

from slimgate.plugin.gates import latency as gate
from slimgate.record.run import VariantRecord
from slimgate.results.checks import TEACHER
from slimgate.results.latency import TimeLimitFacts, TimesFacts
from slimgate.run.gate_results import (
    GateResult,
    GateResults,
    list_awaited_budgets,
    split_record,
)
from slimgate.run.model_handle import ModelHandle
from slimgate.run.run import SuiteRun

SUITE = """[budgets.variants.pruned]
latency = {{ {limits} }}

[measure]
max_seconds = 0.2
workloads = [{{ batch = 1 }}]
"""


def make_run(folder: Path, limits: str) -> SuiteRun:
    return make_tiny_run(folder, **{"[measure]\n": SUITE.format(limits=limits)})


class Request:
    """A pytest request whose run times nothing else."""

    def __init__(self, benchmark: Any, config: pytest.Config) -> None:
        self._benchmark, self.config = benchmark, config

    def getfixturevalue(self, name: str) -> Any:
        assert name == "benchmark"
        return self._benchmark


class Rounds:
    """pytest-benchmark's fixture: it runs the calls, but its times are those that the test gives."""

    def __init__(self, seconds: list[float] | None = None) -> None:
        self.extra_info: dict[str, Any] = {}
        self.group, self.params, self.calls, self._given = "", {}, 0, seconds

    def pedantic(self, call: Any, *, rounds: int, iterations: int) -> None:
        assert iterations == 1
        for _ in range(rounds):
            call()
        self.calls = rounds
        seconds = self._given if self._given is not None else [0.001] * rounds
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=seconds))


def judge_times(run: SuiteRun, name: str, rounds: Rounds, config: pytest.Config) -> tuple[GateResult, str]:
    """The result that the gate reports, and the message of the failed test; empty if it passed."""
    (workload,), reported, failed = run.suite.workloads, list[GateResult](), ""
    handle: ModelHandle = run.make_handle(name)
    try:
        gate.test_latency(run.suite, handle, workload, reported.append, Request(rounds, config))  # type: ignore[arg-type]
    except pytest.fail.Exception as error:
        failed = str(error)
    return next(part for part in reported if part.kind == "latency"), failed


def get_limits(result: GateResult) -> TimeLimitFacts:
    """The judged budgets on times."""
    assert isinstance(result.facts, TimesFacts)
    assert result.facts.limits is not None
    return result.facts.limits


@pytest.fixture(autouse=True)
def _timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "describe_not_timed", lambda _: None)  # whatever options these tests run with


def test_the_worse_of_two_quantiles_fails_the_test(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    run = make_run(tmp_path, "p50_ms_max = 2.0, p95_ms_max = 0.5")
    part, failed = judge_times(run, "pruned", Rounds(), pytestconfig)
    limits = get_limits(part)
    assert [(budget.kind, budget.verdict) for budget in limits.budgets] == [
        ("p50_ms_max", "PASS"),
        ("p95_ms_max", "FAIL"),
    ]
    assert limits.verdict == "FAIL"
    assert failed == limits.message
    assert part.explains_failure
    properties = list_result_properties(part)
    assert properties["slimgate.value.p95_ms_max"] == 1.0
    assert str(properties["slimgate.interval.p95_ms_max"]).startswith("[0.97")
    assert properties["slimgate.verdict.p50_ms_max"] == "PASS"


def test_a_95th_percentile_takes_59_rounds_always(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "p95_ms_max = 2.0")
    monkeypatch.setattr(
        gate, "plan_rounds", lambda *_, rounds, min_rounds, **__: (1, min(rounds, max(5, min_rounds)))
    )
    rounds = Rounds()
    part, failed = judge_times(run, "pruned", rounds, pytestconfig)
    assert rounds.calls == 59
    assert get_limits(part).verdict == "PASS"
    assert failed == ""


def test_an_undecided_budget_that_only_warns_fails_no_test(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    run = make_run(tmp_path, 'p50_ms_max = 1.0, on_inconclusive = "warn"')
    part, failed = judge_times(run, "pruned", Rounds(), pytestconfig)
    assert get_limits(part).budgets[0].verdict == "INCONCLUSIVE"
    assert get_limits(part).budgets[0].on_inconclusive == "warn"
    assert failed == ""


def test_models_without_such_a_budget_are_timed_and_not_judged(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    run = make_run(tmp_path, "p50_ms_max = 0.1")
    for name in (TEACHER, "shorter"):
        part, failed = judge_times(run, name, Rounds(), pytestconfig)
        assert isinstance(part.facts, TimesFacts)
        assert (part.facts.limits, part.facts.p50_ms) == (None, 1.0)
        assert list_result_properties(part) == {}
        assert failed == ""


def test_a_budget_on_times_that_were_not_taken_fails(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "p50_ms_max = 0.1")
    monkeypatch.setattr(gate, "describe_not_timed", lambda _: "it is too loud here")
    with pytest.raises(pytest.fail.Exception, match="has a budget on times, but it is too loud here"):
        gate.test_latency(
            run.suite,
            run.make_handle("pruned"),
            run.suite.workloads[0],
            lambda _: None,
            Request(Rounds(), pytestconfig),  # type: ignore[arg-type]
        )


def test_a_workload_waits_for_its_duel_and_its_times(tmp_path: Path) -> None:
    run = make_run(tmp_path, "speedup_min = 1.5, p50_ms_max = 0.1")
    assert list_awaited_budgets(run.suite, "pruned", GateResults()) == ["latency b1"]
    timed = make_gate_result("latency", "pruned", "b1")
    assert list_awaited_budgets(run.suite, "pruned", GateResults([timed])) == ["latency b1"]
    assert (
        list_awaited_budgets(
            run.suite, "pruned", GateResults([timed, make_gate_result("speedup", "pruned", "b1")])
        )
        == []
    )


def test_parts_of_a_record_keep_budgets_with_their_times(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    run = make_run(tmp_path, "p50_ms_max = 2.0")
    part, _ = judge_times(run, "pruned", Rounds(), pytestconfig)
    duel = make_gate_result("speedup", "pruned", "b1", speedup=2.0, speedup_interval=[1.9, 2.1])
    parts = GateResults([part, duel])
    latency = parts.merge_latency("pruned")
    model = VariantRecord(name="pruned", parent="teacher", latency=latency)
    assert [(result.title, result.kind) for result in model.results()] == [
        ("latency b1", "speedup"),
        ("latency b1", "latency"),
    ]
    record = SimpleNamespace(variants=[model], self_test=SimpleNamespace(identical=None), code_reads={})
    record.self_test.planted_fault = record.self_test.planted_delay = None
    again = GateResults(split_record(record)).merge_latency("pruned")  # type: ignore[arg-type]
    assert again == latency
    assert latency["b1"].limits is not None
    assert latency["b1"].limits.verdict == "PASS"
