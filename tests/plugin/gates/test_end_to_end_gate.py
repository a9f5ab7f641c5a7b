"""The gates on calls from text to answer: times, duel, record and budgets of their own."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.tiny_suite import make_tiny_run

from slimgate._system.threads import RAYON_NUM_THREADS, TOKENIZERS_PARALLELISM
from slimgate.plugin.gates import latency as gate
from slimgate.plugin.session_start import _forget_tokenizer_threads, _set_tokenizer_threads
from slimgate.results.latency import TimesFacts
from slimgate.run.gate_results import list_budgeted_checks, list_expected_checks

LIMITS = (
    "end_to_end_speedup_min = 0.5, end_to_end_p50_ms_max = 2.0, end_to_end_p95_ms_max = 0.5, p50_ms_max = 9.0"
)
SUITE = f"[budgets.variants.pruned]\nlatency = {{ {LIMITS} }}\n\n[measure]\nmax_seconds = 0.2\n"
WORKLOADS = "end_to_end = true\nworkloads = [{ batch = 2 }, { batch = 2, tokens = 12 }]\n"


class Rounds:
    """pytest-benchmark's fixture, which makes one call and then tells that each took 1 ms."""

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}
        self.group, self.params, self.parallel = "", {}, ""

    def pedantic(self, call: Any, *, rounds: int, iterations: int) -> None:
        assert iterations == 1
        call()
        self.parallel = os.environ.get(TOKENIZERS_PARALLELISM, "")
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=[0.001] * rounds))


def test_end_to_end_has_its_own_times_and_budgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setattr(gate, "describe_not_timed", lambda _: None)  # whatever options these tests run with
    monkeypatch.delenv(TOKENIZERS_PARALLELISM, raising=False)
    run = make_tiny_run(tmp_path, **{"threads = 1": "threads = 2", "[measure]\n": SUITE + WORKLOADS})
    times, failed, parallel = dict[str, TimesFacts](), dict[str, str](), dict[str, str]()
    for workload in run.suite.workloads:
        rounds, reported = Rounds(), list[dict[str, Any]]()
        request: Any = SimpleNamespace(config=pytestconfig, getfixturevalue=lambda _, rounds=rounds: rounds)
        try:
            gate.test_latency(run.suite, run.make_handle("pruned"), workload, reported.append, request)
        except pytest.fail.Exception as error:
            failed[workload.id] = str(error)
        facts = next(part.facts for part in reported if isinstance(part.facts, TimesFacts))
        times[workload.id], parallel[workload.id] = facts, rounds.parallel
    assert list(times) == ["b2", "b2-e2e", "b2x12", "b2x12-e2e"]
    limits = {
        name: [(budget.kind, str(budget.verdict)) for budget in facts.limits.budgets]
        for name, facts in times.items()
        if facts.limits is not None
    }
    of_text = [("end_to_end_p50_ms_max", "PASS"), ("end_to_end_p95_ms_max", "FAIL")]
    of_forward = [("p50_ms_max", "PASS")]
    assert limits == {"b2": of_forward, "b2-e2e": of_text, "b2x12": of_forward, "b2x12-e2e": of_text}
    assert list(failed) == ["b2-e2e", "b2x12-e2e"]
    assert "pruned: batch 2: end to end p50 1 ms" in failed["b2-e2e"]
    assert "end to end p95 1 ms" in failed["b2-e2e"]
    assert times["b2x12-e2e"].tokens == 12
    assert all(facts.tokenize_ms for facts in times.values())
    assert times["b2-e2e"].throughput_per_s == pytest.approx(2000.0)
    assert parallel == {"b2": "", "b2-e2e": "true", "b2x12": "", "b2x12-e2e": "true"}
    assert TOKENIZERS_PARALLELISM not in os.environ


def test_end_to_end_calls_with_a_budget_are_awaited(tmp_path: Path) -> None:
    suite = make_tiny_run(tmp_path, **{"[measure]\n": SUITE + WORKLOADS}).suite
    expected = list_expected_checks(suite)
    assert all((kind, "pruned", "b2-e2e") in expected for kind in ("latency", "speedup"))
    assert ("latency", "teacher", "b2-e2e") in expected
    duels = [name for quantity, (kind, _, name) in list_budgeted_checks(suite, "pruned") if kind == "speedup"]
    assert duels == ["b2-e2e", "b2x12-e2e"]


def test_tokenizer_threads_are_said_once_for_end_to_end_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def suite(threads: int, *, end_to_end: bool) -> Any:
        return SimpleNamespace(threads=threads, measure=SimpleNamespace(end_to_end=end_to_end))

    config: Any = SimpleNamespace(add_cleanup=lambda call: cleanups.append(call))
    cleanups: list[Any] = []
    monkeypatch.setenv(RAYON_NUM_THREADS, "7")
    _set_tokenizer_threads(config, {Path("a"): suite(2, end_to_end=True)})
    assert (os.environ[RAYON_NUM_THREADS], cleanups) == ("7", [])  # a user's own
    monkeypatch.delenv(RAYON_NUM_THREADS)
    _set_tokenizer_threads(config, {Path("a"): suite(8, end_to_end=False)})
    assert RAYON_NUM_THREADS not in os.environ
    suites = {Path("a"): suite(2, end_to_end=True), Path("b"): suite(3, end_to_end=True)}
    _set_tokenizer_threads(config, suites)
    assert (os.environ[RAYON_NUM_THREADS], cleanups) == ("3", [_forget_tokenizer_threads])
    cleanups[0]()
    assert RAYON_NUM_THREADS not in os.environ
