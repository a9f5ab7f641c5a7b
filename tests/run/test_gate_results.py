"""Results of a record, put together and taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.gate_results import make_build_result, make_gate_result
from support.sample_record import make_sample_record

from slimgate.record.run import RowShapes, RunRecord, VariantRecord
from slimgate.record.run_verdict import judge_record
from slimgate.record.task import TaskFactsRecord
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import CheckKey
from slimgate.results.figures import MemoryFacts, SizeFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import PlantedDelay, SelfTest, SelfTestFacts
from slimgate.run.environment import describe_machine
from slimgate.run.gate_results import (
    GateResult,
    GateResults,
    list_awaited_budgets,
    list_expected_checks,
    make_run_record,
    split_record,
)
from slimgate.suite.reader import load_suite


def quality(verdict: Verdict | None, message: str = "q") -> QualityFacts:
    return QualityFacts(
        teacher=0.9, value=0.8, drop_points=10, n=9, verdict=verdict, message=message, measured=""
    )


def variant(
    name: str, *verdicts: Verdict | None, gated: bool = True, error: str | None = None
) -> VariantRecord:
    facts = {f"m{i}": quality(verdict, f"{name} {i}") for i, verdict in enumerate(verdicts)}
    return VariantRecord(name=name, parent="teacher", gated=gated, quality=facts, error=error)


BLIND = SelfTestFacts(verdict=Verdict.PASS, message="blind", measured="")
P, F, U = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("variants", "missing", "status"),
    [
        ([variant("a", P)], 0, "PASS"),
        ([variant("a", P)], 1, "partial"),
        ([variant("a", P, U)], 1, "INCONCLUSIVE"),
        ([variant("a", U, F)], 1, "FAIL"),
        ([variant("a", P, error="it broke")], 0, "FAIL"),
        ([variant("a", F, gated=False)], 0, "measured"),
        ([variant("a", None)], 0, "measured"),
        ([], 0, "measured"),
    ],
    ids=["pass", "partial", "inconclusive", "fail", "error", "not-gated", "no-budget", "empty"],
)
def test_fail_precedes_inconclusive_partial_measured_and_pass(
    variants: list[VariantRecord], missing: int, status: str
) -> None:
    assert judge_record(variants, SelfTest(), missing).status == status


def test_a_verdict_counts_and_says_what_does_not_hold() -> None:
    summary = judge_record([variant("a", P, F, U, None), variant("b", F, gated=False)], SelfTest(), 0)
    assert (summary.passed, summary.failed, summary.inconclusive, summary.not_gated) == (1, 1, 1, 2)
    assert summary.messages == ["a 1", "a 2"]


def sliced(name: str, *verdicts: Verdict, worst: Verdict) -> VariantRecord:
    """A variant with a budget on flips, then one on slices."""
    budgets = [
        BudgetFacts(kind=kind, limit=1.0, verdict=verdict)
        for kind, verdict in zip(("flips_max_percent", "slices.accuracy"), verdicts, strict=True)
    ]
    facts = BehaviourFacts(budgets=budgets, verdict=worst, message=f"{name} behaviour")
    return VariantRecord(name=name, parent="teacher", behaviour=facts)


def test_an_undecided_budget_on_slices_counts_as_any_other() -> None:
    summary = judge_record([sliced("a", P, U, worst=U)], SelfTest(), 0)
    assert (summary.status, summary.passed, summary.inconclusive) == ("INCONCLUSIVE", 1, 1)
    assert (summary.fails, summary.messages) == (True, ["a behaviour"])


def test_flips_that_fail_are_counted_beside_undecided_slices() -> None:
    summary = judge_record([sliced("a", F, U, worst=F)], SelfTest(), 0)
    assert (summary.status, summary.failed, summary.inconclusive) == ("FAIL", 1, 1)
    assert summary.messages == ["a behaviour"]


def test_one_error_of_many_variants_is_reported_once() -> None:
    summary = judge_record(
        [variant("a", error="teacher: no"), variant("b", error="teacher: no")], SelfTest(), 0
    )
    assert summary.messages == ["teacher: no"]


def test_a_size_that_is_too_large_fails() -> None:
    size = SizeFacts(compression=1.0, verdict=F, message="too large", measured="")
    record = VariantRecord(name="a", parent="teacher", size=size)
    assert judge_record([record], SelfTest(), 0).messages == ["too large"]


@pytest.mark.parametrize(
    ("flips_verdict", "status"), [(F, "FAIL"), (U, "INCONCLUSIVE"), (P, "PASS"), (None, "measured")]
)
def test_flips_and_slices_count_as_any_budget(flips_verdict: Verdict | None, status: str) -> None:
    facts = BehaviourFacts(verdict=flips_verdict, message="ten rows turned")
    record = VariantRecord(name="a", parent="teacher", behaviour=facts)
    summary = judge_record([record], SelfTest(), 0)
    assert (summary.status, summary.not_gated) == (status, 0)
    assert summary.messages == (["ten rows turned"] if flips_verdict in (F, U) else [])
    assert judge_record([record.model_copy(update={"gated": False})], SelfTest(), 0).status == "measured"


@pytest.mark.parametrize(("check", "wrong"), [("identical", F), ("planted_fault", P)])
def test_a_gate_that_fails_its_self_test_fails_the_run(check: str, wrong: Verdict) -> None:
    self_test = SelfTest(**{check: SelfTestFacts(verdict=wrong, message="blind", measured="")})
    assert judge_record([variant("a", P)], self_test, 0).status == "FAIL"


def delay(seen: bool) -> PlantedDelay:
    return PlantedDelay(
        seen=seen, speedup_interval=(0.8, 0.95), message="delay", workload="b1", measured="now"
    )


@pytest.mark.parametrize(("seen", "messages"), [(True, ["slow?"]), (False, ["slow?", "delay"])])
def test_an_unseen_delay_is_told_where_a_speed_up_has_a_budget(seen: bool, messages: list[str]) -> None:
    timed = {"b1": LatencyFacts(verdict=U, message="slow?", measured="")}
    record = VariantRecord(name="a", parent="teacher", latency=timed)
    self_test = SelfTest(planted_delay=delay(seen))
    assert judge_record([record], self_test, 0).messages == messages
    decided = record.model_copy(update={"latency": {"b1": timed["b1"].model_copy(update={"verdict": P})}})
    assert judge_record([decided], self_test, 0).messages == []  # by an earlier run, which saw it
    free = VariantRecord(name="a", parent="teacher", latency={"b1": LatencyFacts(measured="")})
    assert (judge_record([free], self_test, 0).status, judge_record([free], self_test, 0).messages) == (
        "measured",
        [],
    )


def test_what_fails_is_reported_before_what_is_undecided() -> None:
    summary = judge_record([variant("a", U, F), variant("b", F)], SelfTest(planted_fault=BLIND), 0)
    assert summary.messages == ["a 1", "b 0", "blind", "a 0"]


def test_times_memory_shapes_and_delay_survive_a_partial_run(bench: Path, suite_text: str) -> None:
    """A record taken apart and put together again is the same."""
    (bench / "x.toml").write_text(suite_text)
    timed = {"p50_ms": 1.0, "p90_ms": 1.5, "p95_ms": None, "rounds": 30, "threads": 2, "measured": "now"}
    duelled = {"speedup": 2.0, "duel_rounds": 24, "duel_threads": 2}
    results = [
        make_gate_result("latency", "int8", "b1", **timed),
        make_gate_result("speedup", "int8", "b1", **duelled),
        GateResult("self_test", "teacher", "planted_delay", delay(True)),
        make_gate_result("memory", "int8", peak_bytes=9, peaks=[9, 8, 9]),
        make_gate_result("shapes", "int8", id="r0", next_tokens=[("the", 0.5)]),
    ]
    machine = describe_machine(threads=1, device="cpu")
    task = TaskFactsRecord(kind="t", source={}, real=True, classes=[], splits={})

    def composed(parts: GateResults) -> RunRecord:
        suite = load_suite(bench / "x.toml")
        record = make_run_record(suite, task, parts, machine, command="pytest")
        return record.model_copy(update={"created": "now"})

    once = composed(GateResults(results))
    assert once.self_test.planted_delay == delay(True)
    assert once.variant("int8").latency["b1"].p90_ms == 1.5
    assert once.variant("int8").latency["b1"].duel_threads == 2
    assert once.variant("int8").memory == MemoryFacts(peak_bytes=9, peaks=[9, 8, 9], measured="now")
    assert once.variant("int8").shapes == RowShapes(id="r0", next_tokens=[("the", 0.5)])
    assert composed(GateResults(split_record(once))) == once


def test_another_artifact_voids_what_was_measured_on_the_old_one() -> None:
    measured = [make_gate_result("quality", name, "m") for name in ("a", "b")]
    parts = GateResults([make_build_result("a", "1"), make_build_result("b", "1"), *measured])
    parts.add(make_build_result("a", "2"))
    assert not parts.has(CheckKey("quality", "a", "m"))
    assert parts.has(CheckKey("quality", "b", "m"))


def test_another_teacher_voids_everything() -> None:
    parts = GateResults(
        [
            make_build_result("teacher", "1"),
            make_build_result("b", "1"),
            make_gate_result("quality", "b", "m"),
        ]
    )
    parts.add(make_build_result("teacher", "2"))
    assert not parts.has(CheckKey("quality", "b", "m"))


def test_an_error_stays_though_another_test_has_the_model_built() -> None:
    parts = GateResults([make_gate_result("error", "a", "test_quality[a-m]", message="NaN")])
    parts.add(make_build_result("a", "1"))
    assert parts.list_facts("error", "a")
    parts.forget_error("test_quality[a-m]")
    assert not parts.list_facts("error", "a")


def test_a_whole_run_has_every_check_of_the_suite(bench: Path, suite_text: str) -> None:
    (bench / "x.toml").write_text(suite_text)
    of_a_variant = [("quality", "accuracy"), ("behaviour", ""), ("size", ""), ("speedup", "b1")]
    assert list_expected_checks(load_suite(bench / "x.toml")) == [
        ("self_test", "teacher", "identical"),
        ("self_test", "teacher", "planted_fault"),
        ("self_test", "teacher", "planted_delay"),
        ("latency", "teacher", "b1"),
        *((kind, "student", name) for kind, name in [*of_a_variant, ("latency", "b1")]),
        *((kind, "int8", name) for kind, name in [*of_a_variant, ("latency", "b1")]),
    ]


def test_memory_is_expected_only_where_the_suite_wants_it(bench: Path, suite_text: str) -> None:
    def weighed(text: str) -> list[str]:
        (bench / "x.toml").write_text(text)
        return [key[1] for key in list_expected_checks(load_suite(bench / "x.toml")) if key[0] == "memory"]

    assert weighed(suite_text) == []
    assert weighed(suite_text.replace("[measure]", "[measure]\nmemory = true")) == ["student", "int8"]
    budget = "[budgets.variants.int8]\nmemory = { memory_ratio_max = 0.9 }\n\n[measure]"
    assert weighed(suite_text.replace("[measure]", budget)) == ["int8"]
    assert list_awaited_budgets(load_suite(bench / "x.toml"), "int8", GateResults()) == ["accuracy", "memory"]


def test_a_memory_over_its_budget_fails() -> None:
    memory = MemoryFacts(ratio=0.9, verdict=F, message="takes too much", measured="")
    record = VariantRecord(name="a", parent="teacher", memory=memory)
    assert judge_record([record], SelfTest(), 0).messages == ["takes too much"]


def test_what_has_a_budget_and_was_not_measured_is_awaited(bench: Path, suite_text: str) -> None:
    budgets = """size = { compression_min = 2 }
flips = { flips_max_percent = 1.0 }
latency = { speedup_min = 1.5 }
accuracy = {"""
    (bench / "x.toml").write_text(suite_text.replace("accuracy = {", budgets, 1))
    suite, parts = load_suite(bench / "x.toml"), GateResults()
    assert list_awaited_budgets(suite, "int8", parts) == [
        "accuracy",
        "flips and slices",
        "size",
        "latency b1",
    ]
    parts.add(make_gate_result("quality", "int8", "accuracy"))
    parts.add(make_gate_result("speedup", "int8", "b1"))
    assert list_awaited_budgets(suite, "int8", parts) == ["flips and slices", "size"]
    assert list_awaited_budgets(suite, "teacher", parts) == []


def test_another_artifact_voids_results_of_what_is_made_from_it() -> None:
    names = ("small", "small-int8", "other")
    earlier = [
        part
        for name in names
        for part in (make_build_result(name, "old"), make_gate_result("quality", name, "accuracy"))
    ]
    parts = GateResults(earlier, made_from=lambda name: ["small-int8"] if name == "small" else [])
    parts.add(make_gate_result("size", "small-int8"))
    parts.add(make_build_result("small", "new"))
    assert not parts.has(CheckKey("quality", "small", "accuracy"))
    assert not parts.has(CheckKey("quality", "small-int8", "accuracy"))
    assert parts.has(CheckKey("size", "small-int8", ""))
    assert parts.has(CheckKey("quality", "other", "accuracy"))


def test_what_is_made_from_a_model_at_any_remove(bench: Path, suite_text: str) -> None:
    (bench / "x.toml").write_text(suite_text)
    suite = load_suite(bench / "x.toml")
    assert suite.find_dependents("student") == ("int8",)
    assert set(suite.find_dependents("teacher")) == {"student", "int8"}
    assert suite.find_dependents("int8") == ()


def test_every_result_of_a_record_has_its_own_key() -> None:
    record = make_sample_record()
    parts = GateResults(split_record(record))
    for model in record.variants:
        qualities = parts.list_facts("quality", model.name)
        assert qualities == model.quality
        assert set(parts.list_facts("since", model.name)) == set(model.since_baseline)
        assert set(parts.list_facts("size", model.name)) == ({""} if model.size else set())
