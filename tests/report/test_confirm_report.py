"""What a report says of the use of rows, and of the confirm rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.sample_record import MEASURED, make_artifact, make_quality, make_sample_record, make_variant

from slimgate.record.budgets import is_ended_by_undecided
from slimgate.record.run import ConfirmFacts, RowUseFacts, RunRecord, TimingFacts
from slimgate.record.run_verdict import judge_record
from slimgate.record.shipping import describe_shipping_obstacle
from slimgate.report.card import make_card
from slimgate.report.cautions import format_notes
from slimgate.report.confirm import format_confirm_section
from slimgate.report.github import list_budget_annotations
from slimgate.report.markdown import format_glossary
from slimgate.report.pr_comment import format_pr_comment
from slimgate.report.recommendation import recommend
from slimgate.report.status import format_status_cell, list_inside_budgets
from slimgate.results.base import Verdict
from slimgate.results.self_test import SelfTest

ROWS = ConfirmFacts(digest="c" * 64, n=3000, uses=1, models=2, measured=MEASURED)


def cautions(**facts: Any) -> str:
    return "\n".join(format_notes(make_sample_record(**facts)))


def judged_again(outcome: Verdict) -> RunRecord:
    """A variant that passed on the gate, with that verdict on the confirm rows."""
    passed = make_quality("int8", "accuracy", 0.4, (0.0, 0.9), Verdict.PASS)
    budget = replace(passed.budgets[0], verdict=outcome, on_inconclusive="fail")
    message = f"confirm: int8: accuracy, drop 0.4: {outcome}"
    again = passed.model_copy(update={"budgets": [budget], "verdict": outcome, "message": message})
    models = [make_variant("int8", quality={"accuracy": passed}, confirm={"accuracy": again})]
    return make_sample_record(variants=models, confirm=ROWS, verdict=judge_record(models, SelfTest(), 0))


def test_a_model_that_fails_on_the_confirm_rows_is_not_shipped() -> None:
    record = judged_again(Verdict.FAIL)
    reason = "is FAIL in this run (confirm: int8: accuracy, drop 0.4: FAIL)"
    assert describe_shipping_obstacle(record, record.variant("int8")) == reason


def test_one_use_is_not_worth_a_line() -> None:
    assert "used" not in cautions(row_use=RowUseFacts(runs=1, models=4), confirm=ROWS)


def test_further_uses_are_reported_in_one_line_each() -> None:
    text = cautions(
        row_use=RowUseFacts(runs=7, models=12), confirm=ROWS.model_copy(update={"uses": 2, "models": 3})
    )
    assert "**These gate rows were used by 7 runs with other models** (12 models in all)" in text
    assert "The confirm rows were used 2 times, by 3 models; the first use counts." in text


def test_speed_that_was_judged_until_it_passed_is_reported() -> None:
    timings = [
        TimingFacts(variant="int8", workload="b1", times=3, passed=1),
        TimingFacts(variant="pruned", workload="b32", times=2, passed=2),
    ]
    text = cautions(row_use=RowUseFacts(runs=1, models=2, timings=timings))
    assert "Speed was judged again, and the last time counts: int8, batch 1 (3 times, 1 passed)." in text


def test_a_variant_that_held_on_confirm_rows_stays_what_it_was() -> None:
    record = judged_again(Verdict.PASS)
    assert record.verdict.status == "PASS"
    assert [model.name for model in list_inside_budgets(record)] == ["int8"]
    assert "- confirm: int8: accuracy, drop 0.4: PASS" in format_confirm_section(record)


def test_a_variant_that_did_not_is_no_pass_any_more() -> None:
    failed, undecided = judged_again(Verdict.FAIL), judged_again(Verdict.INCONCLUSIVE)
    assert failed.verdict.status == "FAIL"
    assert failed.verdict.messages == ["confirm: int8: accuracy, drop 0.4: FAIL"]
    assert format_status_cell(failed, failed.variants[0]) == "**FAIL** (confirm accuracy)"
    assert undecided.verdict.status == "INCONCLUSIVE"
    assert is_ended_by_undecided(undecided)
    assert list_inside_budgets(failed) == list_inside_budgets(undecided) == []


def test_there_is_no_section_where_no_run_used_the_rows() -> None:
    assert format_confirm_section(make_sample_record()) == ""


def pass_one_variant(**facts: Any) -> RunRecord:
    passed = make_quality("int8", "accuracy", 0.4, (0.0, 0.9), Verdict.PASS, **facts)
    models = [
        make_variant("teacher", artifact=make_artifact(100, 10)),
        make_variant("int8", quality={"accuracy": passed}, artifact=make_artifact(10, 10)),
    ]
    return make_sample_record(variants=models)


def smallest(**facts: Any) -> str:
    """The line on the smallest of one variant that passed."""
    return recommend(pass_one_variant(**facts))[0]


def test_the_glossary_explains_the_words_of_the_bound() -> None:
    words = "t most 1.3 allowing for the choice among 4"
    assert f"(drop 0.4, a{words})" in smallest(among=4, bound_among=1.3)
    assert f'"A{words}": an upper bound of the drop' in format_glossary(
        pass_one_variant(among=4, bound_among=1.3)
    )


def test_what_could_ship_has_a_bound_that_holds_after_the_choice() -> None:
    assert "(drop 0.4 [0.0, 0.9])" in smallest(among=1, bound_among=0.9)
    assert "(drop 0.4, at most 1.3 allowing for the choice among 4)" in smallest(among=4, bound_among=1.3)
    assert "(drop 0.4, at most 2.2 allowing for the choice among 9, over its budget: confirm it)" in smallest(
        among=9, bound_among=2.2
    )


def test_a_bound_from_before_more_variants_is_left_out() -> None:
    earlier = make_quality("int8", "accuracy", 0.4, (0.0, 0.9), Verdict.PASS, among=1, bound_among=0.9)
    models = [
        make_variant("teacher", artifact=make_artifact(100, 10)),
        make_variant("int8", quality={"accuracy": earlier}, artifact=make_artifact(10, 10)),
        make_variant("pruned", awaited=["accuracy"]),
        make_variant("shown", awaited=["accuracy"], gated=False, reason="to see"),
    ]
    line = recommend(make_sample_record(variants=models))[0]
    assert "(drop 0.4 [0.0, 0.9]; not allowing for the choice among 2: run the complete suite)" in line


@pytest.mark.parametrize(
    ("uses", "among", "message"),
    [
        (1, 1, "(drop 0.5 [0.1, 1.0]; on 3,000 confirm rows)"),
        (1, 2, "(drop 0.5, at most 1.2 allowing for the choice among 2, on 3,000 confirm rows)"),
        (2, 1, "(drop 0.4, at most 1.3 allowing for the choice among 4)"),
    ],
)
def test_confirm_rows_that_were_used_once_take_its_place(uses: int, among: int, message: str) -> None:
    gate = make_quality("int8", "accuracy", 0.4, (0.0, 0.9), Verdict.PASS, among=4, bound_among=1.3)
    again = make_quality("int8", "accuracy", 0.5, (0.1, 1.0), Verdict.PASS, among=among, bound_among=1.2)
    models = [
        make_variant("teacher", artifact=make_artifact(100, 10)),
        make_variant(
            "int8", quality={"accuracy": gate}, confirm={"accuracy": again}, artifact=make_artifact(10, 10)
        ),
    ]
    rows = ROWS.model_copy(update={"uses": uses})
    assert message in recommend(make_sample_record(variants=models, confirm=rows))[0]


@pytest.mark.parametrize("outcome", [Verdict.PASS, Verdict.FAIL])
def test_cards_and_comments_have_the_line_of_the_confirm_rows(outcome: Verdict) -> None:
    pytest.importorskip("huggingface_hub")
    record, line = judged_again(outcome), f"- confirm: int8: accuracy, drop 0.4: {outcome}"
    assert line in make_card(record, record.variants[0]).split("\n")
    assert line in format_pr_comment([record]).split("\n")


def test_a_fail_on_the_confirm_rows_is_annotated() -> None:
    (line,) = list_budget_annotations(judged_again(Verdict.FAIL), "bench/x.toml")
    assert line.startswith(
        "::error file=bench/x.toml,title=slimgate%3A int8%2C confirm accuracy::confirm: int8"
    )
    assert not list_budget_annotations(judged_again(Verdict.PASS), "bench/x.toml")


def test_other_gates_of_the_data_are_on_report_and_card() -> None:
    pytest.importorskip("huggingface_hub")
    row_use = RowUseFacts(runs=1, models=1, cuts=4)
    message = "4 different gates were cut from the same data, and judged"
    assert message in cautions(row_use=row_use)
    record = make_sample_record(row_use=row_use)
    assert message in make_card(record, record.variants[1])
    assert "different gates" not in cautions(row_use=RowUseFacts(runs=1, models=1))
