"""The gates on times of answers: each phase has its own figures and its own budgets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.writing_suite import make_writing_run, write_writing_suite

from slimgate.errors import SuiteError
from slimgate.plugin.gates import latency as gate
from slimgate.results.latency import TimesFacts
from slimgate.run.gate_results import list_budgeted_checks, list_expected_checks
from slimgate.suite.reader import load_suite

LIMITS = "ttft_p95_ms_max = 150, tokens_per_second_min = 200, tpot_speedup_min = 2.0, p50_ms_max = 90"
BUDGETS = f"[budgets.variants.int8]\nlatency = {{ {LIMITS} }}\n\n[measure]\nrounds = 60\n"


class Rounds:
    """pytest-benchmark's fixture, which makes the calls and then tells that each took 140 ms."""

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}
        self.group, self.params, self.written = "", {}, list[Any]()

    def pedantic(self, call: Any, *, rounds: int, iterations: int, setup: Any = None) -> None:
        assert iterations == 1
        arguments = setup()[0] if setup else ()
        self.written.append(call(*arguments))
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=[0.140] * rounds))


def test_each_phase_is_judged_by_its_own_budgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setattr(gate, "describe_not_timed", lambda _: None)  # whatever options these tests run with
    run, times, lines = make_writing_run(tmp_path, **{"[measure]\n": BUDGETS}), {}, {}
    handle = run.make_handle("int8")
    for workload in run.suite.list_timed_workloads("int8"):
        rounds, reported = Rounds(), list[dict[str, Any]]()
        request: Any = SimpleNamespace(config=pytestconfig, getfixturevalue=lambda _, rounds=rounds: rounds)
        try:
            gate.test_latency(run.suite, handle, workload, reported.append, request)
        except pytest.fail.Exception as error:
            lines[workload.id] = str(error)
        result = next(part for part in reported if isinstance(part.facts, TimesFacts))
        times[result.name] = result.facts
        assert rounds.written[0] is not None
    answer, first, later = times.values()
    assert list(times) == ["p24n8b2", "p24n8b2-ttft", "p24n8b2-tpot"]
    assert (answer.p50_ms, first.p50_ms, later.p50_ms) == pytest.approx((140.0, 140.0, 20.0))  # of 7 tokens
    assert (answer.tokens, answer.new_tokens) == (24, 8)
    assert answer.tokens_per_s == pytest.approx(16 / 0.140)
    assert later.tokens_per_s == pytest.approx(2 / 0.020)
    assert first.tokens_per_s is first.throughput_per_s is later.throughput_per_s is None
    assert answer.throughput_per_s == pytest.approx(2 / 0.140)
    assert answer.cache_bytes
    assert first.cache_bytes is later.cache_bytes is None
    limits = {
        name: facts.limits and [budget.kind for budget in facts.limits.budgets]
        for name, facts in times.items()
    }
    assert limits == {
        "p24n8b2": ["p50_ms_max", "tokens_per_second_min"],
        "p24n8b2-ttft": ["ttft_p95_ms_max"],
        "p24n8b2-tpot": None,
    }
    assert list(lines) == ["p24n8b2"]  # 114 tokens a second of 200, 140 ms of 90
    assert "median 114 tokens/s [111, 118], budget 200: FAIL" in lines["p24n8b2"]


def test_every_phase_with_a_budget_is_awaited(tmp_path: Path) -> None:
    suite = make_writing_run(tmp_path, **{"[measure]\n": BUDGETS}).suite
    phases = ("p24n8b2", "p24n8b2-ttft", "p24n8b2-tpot")
    expected = list_expected_checks(suite)
    assert all((kind, "int8", phase) in expected for kind in ("latency", "speedup") for phase in phases)
    timed = [
        quantity for quantity, key in list_budgeted_checks(suite, "int8") if key[0] in ("latency", "speedup")
    ]
    assert timed == ["latency p24n8b2-tpot", "latency p24n8b2", "latency p24n8b2-ttft"]


def test_a_runtime_that_cannot_write_refuses_the_budget(tmp_path: Path) -> None:
    graph = "graph = { steps = [{ to_onnx = {} }] }\n"
    changes = {"[variants]\n": f"[variants]\n{graph}", "calibration = 0": "calibration = 2"}
    suite = make_writing_run(tmp_path, **changes).suite
    assert suite.list_timed_workloads("graph") == suite.list_dueled_workloads("graph") == ()
    budget = "[budgets.variants.graph]\nlatency = { tpot_speedup_min = 1.5 }\n\n[measure]\n"
    file = write_writing_suite(tmp_path, **changes, **{"[measure]\n": budget})
    with pytest.raises(SuiteError) as error:
        load_suite(file, "suite.toml")
    assert "runtime onnxruntime of graph writes no answers that can be timed, but " in str(error.value)
    assert '[budgets.variants.graph] latency = { tpot_speedup_min = "off", reason =' in str(error.value)


def test_a_task_that_writes_is_not_timed_end_to_end(tmp_path: Path) -> None:
    file = write_writing_suite(tmp_path, **{"[measure]\n": "[measure]\nend_to_end = true\n"})
    with pytest.raises(SuiteError) as error:
        load_suite(file, "suite.toml")
    assert "suite.toml [measure] end_to_end: true was given, but a row of task text_generation" in str(
        error.value
    )
    assert "timed end to end: multi_label, sentence_embedding, sentence_similarity, " in str(error.value)


def test_prompts_and_answers_beyond_the_positions_are_refused(tmp_path: Path) -> None:
    file = write_writing_suite(tmp_path, **{"prompt_tokens = 24": "prompt_tokens = 9999"})
    with pytest.raises(
        SuiteError, match=r"workloads\[0\].prompt_tokens: 9999 was given, with new_tokens = 8, but"
    ):
        load_suite(file, "suite.toml")
