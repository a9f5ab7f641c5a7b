"""What the first screen says beside the verdict: fallen slices, what only warns, an unseen delay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.sample_record import (
    MEASURED,
    make_artifact,
    make_quality,
    make_sample_record,
    make_slice_facts,
    make_variant,
)

from slimgate.record.build import StepFacts
from slimgate.record.verdicts import RunVerdict
from slimgate.report.card import make_card
from slimgate.report.cautions import Severity, format_notes, list_notes
from slimgate.report.head import MOST_CAUTIONS, fold_warnings, format_first_screen, format_verdict_line
from slimgate.report.page.table import choose_kind
from slimgate.report.recommendation import recommend
from slimgate.report.status import format_status_cell
from slimgate.report.terminal.summary import list_summary_lines
from slimgate.results.base import BudgetFacts, SwitchedOffBudget, Verdict
from slimgate.results.behaviour import BehaviourFacts, Flips, SliceFacts
from slimgate.results.figures import FlopsFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.self_test import PlantedDelay, SelfTest
from slimgate.run.gate_results import judge_record

LOST = make_slice_facts("label", "loan", 300, 14.3, (9.1, 21.7))
SMALLER = make_slice_facts("label", "card", 300, 6.0, (2.1, 9.9))
WITHIN = make_slice_facts(
    "label", "cash", 300, 3.0, (1.9, 4.1)
)  # the sample's budget on accuracy is 2 points
UNDECIDED = RunVerdict(status="INCONCLUSIVE", passed=1, failed=0, inconclusive=2, not_gated=0)


def join_warnings(*slices: SliceFacts) -> str:
    """The warnings of a run whose one variant holds its budget, with these slices."""
    metrics = {"accuracy": make_quality("pruned", "accuracy", 0.4, (0.0, 0.8), Verdict.PASS)}
    behaviour = BehaviourFacts(slices=list(slices), measured=MEASURED)
    return "\n".join(
        format_notes(
            make_sample_record(variants=[make_variant("pruned", quality=metrics, behaviour=behaviour)])
        )
    )


def test_a_slice_that_lost_too_much_is_reported_without_a_budget() -> None:
    line = "**pruned lost 14.3 points [9.1, 21.7] of accuracy on label loan (300 rows)**"
    assert f"{line}, the largest loss of its 2 slices. No budget covers slices.\n" in join_warnings(
        LOST, WITHIN
    )
    further = "1 more slice lost more than the budget for all rows allows."
    more = f"the largest loss of its 3 slices. No budget covers slices. {further}"
    assert f"{line}, {more}" in join_warnings(SMALLER, LOST, WITHIN)


def test_a_slice_without_a_budget_is_reported_beside_one_with() -> None:
    named = WITHIN.model_copy(update={"own_verdict": Verdict.PASS})
    line = "**pruned lost 14.3 points [9.1, 21.7] of accuracy on label loan (300 rows)**"
    assert f"{line}, the largest loss of its 1 slice without a budget." in join_warnings(LOST, named)
    assert "No budget covers slices" not in join_warnings(LOST, named)


@pytest.mark.parametrize(
    "part",
    [WITHIN, LOST.model_copy(update={"verdict": Verdict.INCONCLUSIVE})],
    ids=["within what all may lose", "looked at by a budget"],
)
def test_other_slices_are_not_reported(part: SliceFacts) -> None:
    assert "slices" not in join_warnings(part)


@pytest.mark.parametrize(
    ("kind", "fields", "changed", "note"),
    [
        ("torch", {}, 0, "**again is the teacher**: it has the teacher's files and runtime"),
        ("torch", {"runtime": "compiled"}, 0, ""),
        ("torch", {"runtime_params": {"precision": "bf16"}}, 0, ""),
        ("torch", {"digest": "another"}, 0, ""),
        ("endpoint", {"digest": "another"}, 0, "**again gives the teacher's answers** on every row."),
        ("endpoint", {"digest": "another"}, 1, ""),
    ],
    ids=["all", "other runtime", "other options", "other files", "all answers", "other answers"],
)
def test_a_variant_that_is_the_teacher_is_reported(
    kind: str, fields: dict[str, Any], changed: int, note: str
) -> None:
    teacher = make_variant("teacher", artifact=make_artifact(1000, 10, kind=kind))
    flips = Flips(right_to_wrong=0, wrong_to_right=0, changed=changed)
    again = make_variant(
        "again",
        artifact=make_artifact(1000, 10, kind=kind).model_copy(update=fields),
        behaviour=BehaviourFacts(flips=flips, measured=MEASURED),
    )
    notes = "\n".join(format_notes(make_sample_record(variants=[teacher, again])))
    assert ("**again" in notes) is bool(note)
    assert note in notes


def test_notes_that_change_the_verdict_are_first_and_not_folded() -> None:
    lost = {f"v{k}": make_slice_facts("label", "loan", 300, 14.3, (9.1, 21.7)) for k in range(7)}
    models = [
        make_variant(name, behaviour=BehaviourFacts(slices=[part], measured=MEASURED))
        for name, part in lost.items()
    ]
    record = make_sample_record(variants=[*models, make_variant("free", gated=False, reason="to see")])
    severities = [note.severity for note in list_notes(record)]
    assert severities == sorted(severities)
    assert severities.count(Severity.VERDICT) > MOST_CAUTIONS
    assert Severity.FACT in severities
    shown = fold_warnings(record).partition("<details>")[0]
    assert [line for line in shown.splitlines() if line] == [
        f"- {note.text}" for note in list_notes(record) if note.severity is Severity.VERDICT
    ]


def test_undecided_slices_are_inconclusive_and_ship_nothing() -> None:
    slices = [
        WITHIN.model_copy(update={"verdict": outcome}) for outcome in (Verdict.PASS, Verdict.INCONCLUSIVE)
    ]
    budget = BudgetFacts(kind="slices.accuracy", limit=5.0, verdict=Verdict.INCONCLUSIVE)
    behaviour = BehaviourFacts(slices=slices, budgets=[budget], verdict=Verdict.INCONCLUSIVE)
    metrics = {"accuracy": make_quality("pruned", "accuracy", 0.4, (0.0, 0.8), Verdict.PASS)}
    models = [make_variant("pruned", quality=metrics, behaviour=behaviour)]
    record = make_sample_record(variants=models, verdict=judge_record(models, SelfTest(), 0))
    assert format_verdict_line(record) == "**INCONCLUSIVE** · 1 budget holds, 1 is undecided"
    assert format_status_cell(record, record.variant("pruned")) == "**INCONCLUSIVE** (slices accuracy)"
    assert recommend(record) == ["**Ship nothing**: no variant passed all of its budgets."]
    last = "".join(text for text, _ in list_summary_lines(record, "report.md")[-1])
    assert "INCONCLUSIVE (1 PASS, 0 FAIL, 1 INCONCLUSIVE, 0 not gated)" in last
    assert choose_kind(record, record.variant("pruned")) == "INCONCLUSIVE"


def test_a_budget_that_a_variant_switches_off_has_its_reason() -> None:
    pytest.importorskip("huggingface_hub")
    off = [
        SwitchedOffBudget(budget="accuracy", kind="drop_points", limit=5.0, reason="new | labels"),
        SwitchedOffBudget(budget="slices", kind="slices.accuracy", limit=8.0, reason="few rows"),
    ]
    record = make_sample_record(variants=[make_variant("pruned", switched_off=off)])
    lines = list(format_notes(record))
    assert r"**Switched off** for pruned: accuracy drop_points 5: new \| labels" in lines
    assert "**Switched off** for pruned: slices accuracy 8: few rows" in lines
    assert r"switched off for it: accuracy drop_points 5: new \| labels" in make_card(
        record, record.variants[-1]
    )


def undecided(on_inconclusive: str) -> dict[str, object]:
    """A variant whose budget is undecided, and what that does to the run."""
    facts = make_quality("a", "accuracy", 1.9, (1.0, 2.8), Verdict.INCONCLUSIVE)
    budget = BudgetFacts(kind="drop_points", limit=2.0, verdict=Verdict.INCONCLUSIVE)
    budgets = [replace(budget, on_inconclusive=on_inconclusive)]
    return {
        "variants": [make_variant("a", quality={"accuracy": facts.model_copy(update={"budgets": budgets})})]
    }


def test_an_undecided_warning_says_so_as_the_run_ends_with_0() -> None:
    record = make_sample_record(verdict=UNDECIDED, **undecided("warn"))
    assert "1 budget holds, 2 are undecided, which only warns" in format_verdict_line(record)
    last = "".join(text for text, _ in list_summary_lines(record, "report.md")[-1])
    assert "2 INCONCLUSIVE, which only warns, 0 not gated" in last
    failed = make_sample_record(verdict=UNDECIDED, **undecided("fail"))
    assert "only warns" not in format_first_screen(failed)


def test_an_unseen_delay_warns_where_nothing_is_left_undecided() -> None:
    hidden = PlantedDelay(
        seen=False,
        percent=100.0,
        clearance=None,
        speedup_interval=(0.7, 1.1),
        message="hidden",
        workload="b1",
        measured=MEASURED,
    )
    record = make_sample_record(self_test=SelfTest(planted_delay=hidden))
    line = "**The self-test could not detect any slow-down**: no speed-up of this run is proven."
    assert line in list(format_notes(record))
    run_verdict = record.verdict.model_copy(update={"messages": ["hidden"]})
    assert line not in list(format_notes(record.model_copy(update={"verdict": run_verdict})))
    larger = SelfTest(planted_delay=hidden.model_copy(update={"seen": True, "clearance": 1.3}))
    line = "The self-test detected no slow-down under 30 % of a call: smaller differences in speed"
    assert any(warning.startswith(line) for warning in format_notes(make_sample_record(self_test=larger)))
    smallest = SelfTest(planted_delay=hidden.model_copy(update={"seen": True, "clearance": 1.0}))
    assert "delay" not in "\n".join(format_notes(make_sample_record(self_test=smallest)))


def test_of_many_unsteady_times_four_are_named() -> None:
    shaky = {f"b{k}": LatencyFacts(mean_ms=2.0, std_ms=1.0, measured=MEASURED) for k in (1, 2, 4, 8, 16, 32)}
    [line] = [
        warning
        for warning in format_notes(make_sample_record(variants=[make_variant("a", latency=shaky)]))
        if "varied" in warning
    ]
    assert line.count("a, batch") == 4
    assert line.endswith("and 2 more.")


def loaded(head: str, *more: StepFacts) -> str:
    """The warnings of a run whose one variant was loaded with this head, and then built by more steps."""
    step = StepFacts(name="load_model", params="../export", seconds=0.1, log={"head": head})
    built = make_variant("released", parent="../export", steps=[step, *more])
    return "\n".join(format_notes(make_sample_record(variants=[built])))


def test_a_head_fitted_here_that_no_step_trained_is_reported() -> None:
    trained = StepFacts(name="fine_tune", params={}, seconds=1.0, log={"epochs": [{"epoch": 1, "loss": 0.4}]})
    pruned = StepFacts(name="keep_layers", params=[0], seconds=0.1, log={"kept": [0]})
    line = "**released has a new head** (logistic regression on the train rows)"
    assert line in loaded("logistic regression")
    assert line in loaded("logistic regression", pruned)
    assert "new head" not in loaded("logistic regression", trained)
    assert "new head" not in loaded("the model's own")


@pytest.mark.parametrize(
    ("instructions", "reduced", "is_told"),
    [
        (["avx2", "fma"], False, True),
        (["avx2", "fma"], True, False),
        (["avx2", "avx512_vnni"], False, False),
        (["amx_int8", "avx2"], False, False),
        (["asimd"], False, False),
        ([], False, False),
    ],
)
def test_int8_products_that_saturate_are_reported(
    instructions: list[str], reduced: bool, is_told: bool
) -> None:
    assert says_saturated(instructions, reduced) is is_told


@pytest.mark.parametrize(
    ("types", "is_told"),
    [({"float32": 5}, False), ({"float32": 2, "int8": 3}, True), ({}, True)],
    ids=["a table alone is int8", "products are int8", "types are not known"],
)
def test_a_graph_without_int8_products_has_none_that_saturate(types: dict[str, int], is_told: bool) -> None:
    counted = FlopsFacts(flops=10, macs=5, macs_by_type=types, measured=MEASURED)
    assert says_saturated(["avx2"], False, counted) is is_told


def says_saturated(instructions: list[str], reduced: bool, counted: FlopsFacts | None = None) -> bool:
    """Whether a run with one int8 variant warns of it."""
    step = StepFacts(
        name="onnx_int8_static",
        params={"reduce_range": reduced},
        seconds=1.0,
        log={},
        bytes=1,
        parameters=1,
        nonzero_parameters=1,
    )
    model = make_variant("int8", quality={}).model_copy(update={"steps": [step], "flops": counted})
    record = make_sample_record(variants=[model])
    machine = record.machine.model_copy(update={"instructions": instructions})
    lines = "\n".join(format_notes(record.model_copy(update={"machine": machine})))
    return "**int8 products of int8 may have saturated**" in lines


@pytest.mark.parametrize(
    ("quantization", "is_told"), [("int8", True), ("int8_float32", True), ("float32", False)]
)
def test_int8_of_ctranslate2_has_a_note_if_onednn_may_saturate(quantization: str, is_told: bool) -> None:
    step = StepFacts(
        name="to_ctranslate2",
        params={"quantization": quantization},
        seconds=1.0,
        log={},
        bytes=1,
        parameters=1,
        nonzero_parameters=1,
    )
    record = make_sample_record()
    model = next(model for model in record.variants[1:] if model.artifact is not None)
    artifact = model.artifact.model_copy(update={"runtime": "ctranslate2"})
    model = model.model_copy(update={"steps": [step], "artifact": artifact})
    machine = record.machine.model_copy(update={"instructions": ["avx2"]})
    lines = "\n".join(
        format_notes(record.model_copy(update={"machine": machine, "variants": [record.variants[0], model]}))
    )
    assert (f"**int8 products of {model.name} may have saturated**" in lines) is is_told
    assert ("CT2_USE_MKL=1" in lines) is is_told
