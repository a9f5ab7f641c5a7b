"""What is counted in a verdict: budgets, errors, and what of them is of this run."""

from __future__ import annotations

from slimgate.judge.budget_tables import FlipsBudget
from slimgate.record.run import VariantRecord
from slimgate.record.run_verdict import judge_record, judge_this_run
from slimgate.record.verdicts import CarriedResult
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import TEACHER
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import PlantedDelay, SelfTest, SelfTestFacts

P, F, U = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def budget(kind: str, verdict: Verdict, **fields: object) -> BudgetFacts:
    return BudgetFacts(kind=kind, limit=1.0, verdict=verdict, **fields)


def quality(verdict: Verdict, *budgets: BudgetFacts) -> QualityFacts:
    return QualityFacts(
        teacher=0.9,
        value=0.8,
        drop_points=1.0,
        n=9,
        budgets=list(budgets),
        verdict=verdict,
        message=f"a: accuracy {verdict}",
        measured="",
    )


def variant(**fields: object) -> VariantRecord:
    return VariantRecord.model_validate({"name": "a", "parent": TEACHER, **fields})


def carried(kind: str, name: str = "") -> CarriedResult:
    return CarriedResult(kind=kind, name=name, measured="2026-11-20T14:02:03+00:00")


def test_each_budget_counts_and_not_each_result() -> None:
    facts = quality(F, budget("drop_points", F), budget("floor", P))
    flips = BehaviourFacts(budgets=[budget(FlipsBudget.kind, P), budget("slices.accuracy", P)], verdict=P)
    run_verdict = judge_record([variant(quality={"accuracy": facts}, behaviour=flips)], SelfTest(), 0)
    assert (run_verdict.passed, run_verdict.failed, run_verdict.inconclusive) == (3, 1, 0)


def test_errors_and_broken_self_tests_are_counted() -> None:
    blind = SelfTestFacts(verdict=P, message="blind", measured="")
    run_verdict = judge_record([variant(error="a: it broke")], SelfTest(planted_fault=blind), 0)
    assert (run_verdict.status, run_verdict.errors, run_verdict.failed) == ("FAIL", 2, 0)
    assert run_verdict.messages == ["a: it broke", "blind"]


def test_a_budget_that_only_warns_is_counted_apart() -> None:
    facts = quality(
        U, budget("drop_points", U, on_inconclusive="warn"), budget("floor", U, on_inconclusive="fail")
    )
    run_verdict = judge_record([variant(quality={"accuracy": facts})], SelfTest(), 0)
    assert (run_verdict.inconclusive, run_verdict.warns) == (2, 1)


def test_a_record_with_an_earlier_result_is_partial_never_pass() -> None:
    model = variant(quality={"accuracy": quality(P)}, carried=[carried("quality", "accuracy")])
    record, run = judge_record([model], SelfTest(), 0), judge_this_run([model], SelfTest(), 0)
    assert (record.status, record.passed, record.carried) == ("partial", 1, 1)
    assert (run.status, run.passed, run.missing) == ("partial", 0, 1)


def test_a_run_is_not_failed_by_what_an_earlier_run_judged() -> None:
    facts = {"accuracy": quality(F), "f1_macro": quality(P)}
    model = variant(
        quality=facts, error="a: it broke", carried=[carried("quality", "accuracy"), carried("error")]
    )
    record, run = judge_record([model], SelfTest(), 2), judge_this_run([model], SelfTest(), 2)
    assert (record.status, record.failed, record.errors) == ("FAIL", 1, 1)
    assert (run.status, run.passed, run.failed, run.errors) == ("PASS", 1, 0, 0)
    assert (run.messages, run.missing) == ([], 3)  # an error is no check


def test_a_run_is_failed_by_its_own_result_beside_earlier_ones() -> None:
    facts = {"accuracy": quality(P), "f1_macro": quality(F)}
    model = variant(quality=facts, carried=[carried("quality", "accuracy")])
    run = judge_this_run([model], SelfTest(), 0)
    assert (run.status, run.passed, run.failed) == ("FAIL", 0, 1)


def test_an_earlier_broken_self_test_fails_only_the_record() -> None:
    teacher = VariantRecord(name=TEACHER, parent=None, carried=[carried("self_test", "identical")])
    tested = SelfTest(identical=SelfTestFacts(verdict=F, message="differs", measured=""))
    assert judge_record([teacher], tested, 0).status == "FAIL"
    assert judge_this_run([teacher], tested, 0).errors == 0


def test_an_undecided_speed_tells_of_a_delay_that_was_not_seen() -> None:
    delay = PlantedDelay(
        seen=False, speedup_interval=(0.9, 1.1), message="no delay was seen", workload="b1", measured=""
    )
    times = LatencyFacts(speedup=1.0, verdict=U, message="a: b1: INCONCLUSIVE", measured="")
    model = variant(latency={"b1": times})
    tested = SelfTest(planted_delay=delay)
    assert judge_record([model], tested, 0).messages == ["a: b1: INCONCLUSIVE", "no delay was seen"]
    old = model.model_copy(update={"carried": [carried("speedup", "b1")]})
    assert judge_this_run([old], tested, 0).messages == []


def slices(verdict: Verdict, **fields: object) -> BehaviourFacts:
    return BehaviourFacts(budgets=[budget("slices.accuracy", verdict, **fields)], verdict=verdict)


def test_undecided_slices_fail_unless_they_only_warn() -> None:
    metrics = {"accuracy": quality(P, budget("drop_points", P))}
    for action, fails in (("fail", True), ("warn", False)):
        model = variant(quality=metrics, behaviour=slices(U, on_inconclusive=action))
        run_verdict = judge_record([model], SelfTest(), 0)
        assert (run_verdict.status, run_verdict.inconclusive, run_verdict.fails) == ("INCONCLUSIVE", 1, fails)


def test_an_undecided_budget_fails_unless_all_of_them_only_warn() -> None:
    warning, failing = (budget("drop_points", U, on_inconclusive=action) for action in ("warn", "fail"))
    assert not judge_record([variant(quality={"accuracy": quality(U, warning)})], SelfTest(), 0).fails
    assert judge_record([variant(quality={"accuracy": quality(U, warning, failing)})], SelfTest(), 0).fails
    assert judge_record([variant(error="a: it broke")], SelfTest(), 0).fails
