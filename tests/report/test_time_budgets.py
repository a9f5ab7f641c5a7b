"""Budgets on milliseconds in what people read: the report, the page, lines, and two releases side by side."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from support.sample_record import make_latency, make_record_of, make_sample_record, make_variant

from slimgate.record.budgets import list_undecided_failing
from slimgate.record.comparing.budgets import find_budget_changes, find_verdict_changes
from slimgate.record.lines import make_lines
from slimgate.record.run import RunRecord, VariantRecord, format_record_json, read_record
from slimgate.record.run_verdict import judge_record
from slimgate.report.markdown import format_verdict_section
from slimgate.report.page.budgets import list_budgets
from slimgate.report.status import describe_workload, format_status_cell, list_verdicts
from slimgate.report.variant_tables import make_latency_table
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.latency import TimeLimitFacts

MESSAGE = "fast: batch 1: p50 5.1 ms [4.9, 5.3], budget 8: PASS; p95 19 ms [17, 21], budget 20: INCONCLUSIVE"


def limits(p95: float = 20.0, *, end: float = 21.0, **fields: Any) -> TimeLimitFacts:
    undecided = BudgetFacts(
        kind="p95_ms_max",
        limit=p95,
        verdict=Verdict.PASS if end <= p95 else Verdict.INCONCLUSIVE,
        on_inconclusive="fail",
        n_needed=400,
        value=19.0,
        interval=(17.0, end),
    )
    holds = BudgetFacts(kind="p50_ms_max", limit=8.0, verdict=Verdict.PASS, value=5.1, interval=(4.9, 5.3))
    return TimeLimitFacts(
        **{
            "rounds": 100,
            "counted": 60,
            "budgets": [holds, undecided],
            "verdict": undecided.verdict,
            "message": MESSAGE,
            "measured": "now",
            **fields,
        }
    )


def timed(facts: TimeLimitFacts, **duel: Any) -> VariantRecord:
    return make_variant("fast", quality={}, latency={"b1": make_latency(5.1, limits=facts, **duel)})


def test_each_quantile_has_its_verdict_beside_that_of_the_duel() -> None:
    duel = BudgetFacts(kind="speedup_min", limit=1.5, verdict=Verdict.PASS)
    model = timed(limits(), speedup=2.0, speedup_interval=(1.9, 2.1), budgets=[duel], verdict=Verdict.PASS)
    assert list_verdicts(model) == {
        "latency batch 1": "PASS",
        "p50 batch 1": "PASS",
        "p95 batch 1": "INCONCLUSIVE",
    }
    assert format_status_cell(make_record_of(model), model) == "**INCONCLUSIVE** (p95 batch 1)"
    (line,) = (
        line
        for line in make_lines(make_record_of(model))
        if line.kind == "latency" and line.variant == "fast"
    )
    assert line.budgets == "speedup_min=1.5,p50_ms_max=8,p95_ms_max=20"
    assert line.verdict == "INCONCLUSIVE"


def test_time_budgets_count_in_the_verdict_and_fail_if_undecided() -> None:
    record = make_record_of(timed(limits()))
    run_verdict = judge_record(record.variants[1:], record.self_test, 0)
    assert (run_verdict.status, run_verdict.passed, run_verdict.inconclusive) == ("INCONCLUSIVE", 1, 1)
    assert run_verdict.messages == [MESSAGE]
    assert [judged.name for judged in list_undecided_failing(record.variants[1])] == ["latency b1"]


def test_the_report_and_the_page_have_the_line_and_the_interval() -> None:
    model = timed(limits())
    assert MESSAGE.replace("]", "\\]").replace("[", "\\[") in format_verdict_section(
        make_record_of(model)
    ) or (MESSAGE in format_verdict_section(make_record_of(model)))
    p50, p95 = list_budgets(model)
    assert (p50.name, p50.measured, p50.limit) == (
        "latency, batch 1, p50",
        "5.10 ms [4.90, 5.30]",
        "median at most 8 ms",
    )
    assert p95.limit == "95 % of the calls under 20 ms"
    assert p95.verdict is Verdict.INCONCLUSIVE
    assert p95.picture is not None


def test_a_bound_without_an_end_is_kept_and_drawn_as_none() -> None:
    record = make_record_of(timed(limits(end=inf)))
    again = RunRecord.model_validate_json(format_record_json(record))
    assert again.model_copy(update={"digest": None}) == record
    p95 = list_budgets(again.variants[1])[1]
    assert p95.measured == "19.0 ms [17.0, –]"
    assert p95.picture is None


@pytest.mark.parametrize(("now", "looser"), [(25.0, True), (15.0, False)])
def test_two_releases_show_which_way_a_limit_moved(now: float, looser: bool) -> None:
    (change,) = find_budget_changes(make_record_of(timed(limits())), make_record_of(timed(limits(now))))
    assert (change.budget, change.kind, change.looser) == ("latency", "p95_ms_max", looser)
    assert change.under_before == (Verdict.INCONCLUSIVE if looser else None)


def test_a_budget_that_held_and_is_undecided_now_is_a_regression() -> None:
    before, after = timed(limits(end=19.5)), timed(limits(), message="the duel's line")
    (change,) = find_verdict_changes(make_record_of(before), make_record_of(after))
    assert (change.kind, change.before, change.after) == ("p95_ms_max", "PASS", "INCONCLUSIVE")
    assert change.regressed
    assert change.message == MESSAGE


def test_a_record_without_such_budgets_reads_as_before(tmp_path: Any) -> None:
    file = tmp_path / "run.json"
    file.write_text(format_record_json(make_sample_record()), "utf-8")
    assert all(
        times.limits is None for model in read_record(file).variants for times in model.latency.values()
    )


def test_a_call_end_to_end_has_its_own_line_and_verdict() -> None:
    duel = BudgetFacts(kind="end_to_end_speedup_min", limit=4.0, verdict=Verdict.FAIL)
    p50 = BudgetFacts(
        kind="end_to_end_p50_ms_max", limit=8.0, verdict=Verdict.PASS, value=5.1, interval=(4.9, 5.3)
    )
    times = {
        "limits": limits(budgets=[p50], verdict=Verdict.PASS),
        "budgets": [duel],
        "verdict": Verdict.FAIL,
    }
    interval = {"speedup": 3.0, "speedup_interval": (2.9, 3.1)}
    latencies = {
        "b1x25": make_latency(4.0),
        "b1x25-e2e": make_latency(5.1, tokenize_ms=0.9, **interval, **times),
    }
    record = make_record_of(make_variant("fast", quality={}, latency=latencies))
    model = record.variants[1]
    assert describe_workload("b1x25-e2e") == "batch 1 × 25 tokens, end to end"
    assert list_verdicts(model) == {
        "latency batch 1 × 25 tokens, end to end": Verdict.FAIL,
        "p50 batch 1 × 25 tokens, end to end": Verdict.PASS,
    }
    shown = {budget.name: (budget.measured, budget.limit) for budget in list_budgets(model)}
    assert shown == {
        "latency, batch 1 × 25 tokens, end to end": (
            "3.00× [2.90, 3.10] as fast",
            "at least 4× as fast end to end",
        ),
        "latency, batch 1 × 25 tokens, end to end, p50": (
            "5.10 ms [4.90, 5.30]",
            "median end to end at most 8 ms",
        ),
    }
    rows = [line for line in make_latency_table(record).splitlines() if "fast" in line]
    assert [row.split("|")[1].strip() for row in rows] == [
        "batch 1 × 25 tokens",
        "batch 1 × 25 tokens, end to end",
    ]
    assert "0.9" in rows[1]
