"""The standing of each model of a record, and what the report recommends to ship."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.sample_record import make_latency, make_quality, make_record_of, make_sample_record, make_variant

from slimgate.record.run import VariantRecord
from slimgate.record.run_verdict import judge_record
from slimgate.record.verdicts import CarriedResult
from slimgate.report.cautions import format_notes
from slimgate.report.page.budgets import list_budgets
from slimgate.report.page.table import choose_kind
from slimgate.report.recommendation import recommend
from slimgate.report.status import format_status_cell, list_inside_budgets
from slimgate.report.terminal.summary import make_summary_table
from slimgate.report.variant_tables import format_size_cell
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.self_test import SelfTest

P, F, U = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def make_judged(name: str, *verdicts: Verdict, **fields: object) -> VariantRecord:
    """A variant with these verdicts on accuracy and f1_macro."""
    metrics = dict(zip(("accuracy", "f1_macro"), verdicts, strict=False))
    facts = {
        metric: make_quality(name, metric, 1.0, (0.1, 1.9), verdict) for metric, verdict in metrics.items()
    }
    return make_variant(name, quality=facts, **fields)


@pytest.mark.parametrize("verdicts", [(U,), (P, U), (U, P), (F,), (P, F)], ids=str)
def test_only_what_holds_every_budget_could_ship(verdicts: tuple[Verdict, ...]) -> None:
    model = make_judged("odd", *verdicts)
    models = [make_sample_record().variants[0], model]
    record = make_sample_record(variants=models, verdict=judge_record(models, SelfTest(), 0))
    assert list_inside_budgets(record) == []
    assert recommend(record) == ["**Ship nothing**: no variant passed all of its budgets."]


def test_undecided_budgets_that_only_warn_are_not_decided() -> None:
    facts = make_judged("odd", P, U).quality
    facts["f1_macro"] = facts["f1_macro"].model_copy(
        update={"budgets": [replace(budget, on_inconclusive="warn") for budget in facts["f1_macro"].budgets]}
    )
    models = [make_sample_record().variants[0], make_variant("odd", quality=facts)]
    expected = "**Not decided**: **odd** failed no budget. The undecided ones only warn."
    for rest in ([], [make_judged("bad", F)]):
        every = [*models, *rest]
        record = make_sample_record(variants=every, verdict=judge_record(every, SelfTest(), 0))
        assert recommend(record) == [expected]


def test_a_drop_beyond_a_switched_off_budget_does_not_ship() -> None:
    off = [{"budget": "f1_macro", "kind": "equivalent_points", "limit": 0.5, "reason": "not shipped"}]
    first = make_sample_record().variants[0]

    def recommend_with(drop: float, switched_off: list[dict[str, object]]) -> list[str]:
        model = make_judged("odd", P, P, switched_off=switched_off)
        f1 = model.quality["f1_macro"].model_copy(update={"drop_points": drop})
        model = model.model_copy(update={"quality": {**model.quality, "f1_macro": f1}})
        record = make_sample_record(
            variants=[first, model], verdict=judge_record([first, model], SelfTest(), 0)
        )
        assert list_inside_budgets(record) == [model]
        return recommend(record)

    refused = ["**Ship nothing**: **odd** passed, but lost more than a budget that is switched off."]
    assert recommend_with(1.0, off) == recommend_with(-1.0, off) == refused  # a gain is outside of it too
    assert "Ship nothing" not in recommend_with(0.4, off)[0]
    # A limit of the same kind, which the variant has, replaces the common one.
    assert "Ship nothing" not in recommend_with(1.0, [{**off[0], "kind": "drop_points"}])[0]


def test_a_partial_run_has_not_decided_what_ships() -> None:
    models = [make_sample_record().variants[0], make_judged("odd", U)]
    partial = make_sample_record(variants=models, verdict=judge_record(models, SelfTest(), 3))
    assert recommend(partial) == ["**Not decided yet**: 3 checks not run."]
    failed = [models[0], make_judged("odd", F)]
    record = make_sample_record(variants=failed, verdict=judge_record(failed, SelfTest(), 3))
    assert recommend(record) == ["**Ship nothing**: no variant passed all of its budgets."]


@pytest.mark.parametrize("fields", [{"gated": False}, {"error": "it broke"}, {"awaited": ["size"]}])
def test_what_is_not_gated_built_or_measured_could_not_ship(fields: dict[str, object]) -> None:
    record = make_record_of(make_judged("odd", P, P, **fields))
    assert list_inside_budgets(record) == []


def test_what_holds_every_budget_could_ship() -> None:
    good = make_judged("good", P, P)
    record = make_record_of(good)
    assert list_inside_budgets(record) == [good]


def test_workloads_with_the_worst_verdict_are_counted_if_several() -> None:
    def format_undecided(*workloads: str) -> str:
        times = {name: make_latency(3.0, speedup=1.4, verdict=U) for name in workloads}
        model = make_judged("odd", P, U, latency=times)
        return format_status_cell(make_record_of(model), model)

    assert format_undecided("b1") == "**INCONCLUSIVE** (f1_macro, latency batch 1)"
    assert format_undecided("b1", "b32x64") == "**INCONCLUSIVE** (f1_macro, latency on 2 workloads)"


def test_a_budget_on_a_size_that_is_shown_is_not_judged_yet() -> None:
    """A run of the quality tests alone knows the bytes from the build, but only test_size judges them."""
    waiting = make_judged(
        "small", P, P, awaited=["size"], artifact=make_sample_record().variant("int8").artifact
    )
    record = make_record_of(waiting)
    assert format_size_cell(waiting) == "23.5"
    assert format_status_cell(record, waiting) == "PASS so far (size not judged yet)"
    assert "small has no verdict yet on size." in list(format_notes(record))
    assert format_status_cell(record, make_judged("small", awaited=["size"])) == "not judged yet"


def test_the_fastest_is_named_on_the_workloads_of_the_tables() -> None:
    def make_fast(name: str, **speeds: float) -> VariantRecord:
        times = {
            workload: make_latency(
                3.0, speedup=rate, speedup_interval=(0.9 * rate, 1.1 * rate), noise_floor=0.01
            )
            for workload, rate in speeds.items()
        }
        return make_judged(name, P, P, latency=times)

    good = make_fast("good", b1=2.0, b32x32=2.0, b3=2.0, b4=4.0, b5=4.0)
    better = make_fast("better", b1=3.0, b32x32=1.0, b3=3.0, b4=3.0, b5=3.0)
    [_, line] = recommend(make_record_of(better, good))
    assert line == (
        "For speed, ship **better**: 3.00× [2.70, 3.30] as fast on batch 1, on 1 more workload; "
        "**good**: 2.00× [1.80, 2.20] as fast on batch 32 × 32 tokens, on 2 more workloads."
    )


def test_a_verdict_not_of_the_last_run_says_when_it_was_measured() -> None:
    old = [
        CarriedResult(kind="quality", name=name, measured="2026-11-20T14:02:03+00:00")
        for name in ("accuracy", "f1_macro")
    ]
    record = make_sample_record()
    assert format_status_cell(record, make_judged("a", P, P)) == "PASS"
    assert (
        format_status_cell(record, make_judged("a", P, P, carried=old))
        == "PASS, measured 2026-11-20 14:02 UTC"
    )
    assert (
        format_status_cell(record, make_judged("a", P, P, carried=old[:1]))
        == "PASS, partly measured 2026-11-20 14:02 UTC"
    )


def test_growth_is_reported_in_percent_as_its_limit_is() -> None:
    budget = BudgetFacts(
        kind="increase_relative", limit=0.02, verdict=P, value=0.0007, interval=(-0.002, 0.0033)
    )
    facts = make_quality("odd", "accuracy", 0.07, (-0.2, 0.33), P)
    facts = facts.model_copy(update={"unit": "percent", "budgets": [budget]})
    model = make_variant("odd", quality={"perplexity": facts})
    [line] = list_budgets(model)
    assert (line.measured, line.limit) == ("0.0700 % [-0.200, 0.330]", "grows by at most 2 %")
    record = make_record_of(model)
    assert any("perplexity growth, %" in text for row in make_summary_table(record, "x") for text, _ in row)


def test_a_teacher_that_waits_for_its_verdict_is_unfinished() -> None:
    record = make_sample_record(variants=[make_variant("teacher", awaited=["latency b1"])])
    assert format_status_cell(record, record.variants[0]) == "not judged yet"
    assert choose_kind(record, record.variants[0]) == "unfinished"
    reference = make_sample_record(variants=[make_variant("teacher")])
    assert choose_kind(reference, reference.variants[0]) == "reference"
