"""The warnings of report.md: an incomplete run, a self-test that failed, and a machine that cannot time."""

from __future__ import annotations

from support.report_sections import find_section
from support.sample_record import (
    INCONCLUSIVE,
    PASS,
    make_latency,
    make_quality,
    make_record_of_one,
    make_sample_record,
    make_variant,
)

from slimgate.record.verdicts import RunVerdict
from slimgate.report import format_suite_report
from slimgate.report.terminal.summary import list_machine_warnings
from slimgate.results.self_test import PlantedDelay, SelfTest, SelfTestFacts


def test_made_up_rows_are_the_first_warning() -> None:
    task = make_sample_record().task.model_copy(update={"real": False})
    report = format_suite_report(make_sample_record(task=task))
    assert "**Before you trust this**\n\n- **The rows are made up.**" in report
    assert "**made up, not real**" in find_section(report, "Data")


def test_a_partial_run_says_how_many_checks_are_missing() -> None:
    verdict = RunVerdict(status="partial", passed=2, failed=0, inconclusive=0, not_gated=0, missing=5)
    report = format_suite_report(make_sample_record(verdict=verdict))
    assert (
        "**partial** · 2 budgets hold · 1 variant could not be built or measured · 5 checks not run yet"
        in report
    )
    assert "- **Partial**: 5 checks of the suite have not run yet" in report


def test_a_clean_run_has_no_warnings() -> None:
    good = {"accuracy": make_quality("x", "accuracy", 0.1, (-0.2, 0.4), PASS)}
    teacher = make_sample_record().variants[0].model_copy(update={"quality": good})
    record = make_record_of_one(quality=good)
    quiet = record.machine.model_copy(update={"warnings": []})
    report = format_suite_report(
        record.model_copy(update={"variants": [teacher, record.variants[1]], "machine": quiet})
    )
    assert "Before you trust this" not in report
    assert "What does not hold" not in report


def test_a_pass_has_no_line_of_what_does_not_hold() -> None:
    unseen = "a planted delay was not seen"
    verdict = RunVerdict(status="PASS", passed=1, failed=0, inconclusive=0, not_gated=0, messages=[unseen])
    report = format_suite_report(make_record_of_one().model_copy(update={"verdict": verdict}))
    assert f"**What could not be decided**\n\n- {unseen}" in report
    assert "What does not hold" not in report


def test_all_variants_share_one_line_of_the_judges_warnings() -> None:
    teacher, student, distilled = make_sample_record().variants[:3]
    messages = ["class b has 12 gate rows, under 50"]
    warned = [
        model.model_copy(
            update={
                "quality": {"f1_macro": model.quality["f1_macro"].model_copy(update={"warnings": messages})}
            }
        )
        for model in (student, distilled)
    ]
    report = format_suite_report(make_sample_record(variants=[teacher, *warned]))
    assert report.count("- f1_macro: class b has 12 gate rows, under 50.") == 1


def test_a_gate_that_let_the_fault_pass_cannot_be_trusted() -> None:
    planted = SelfTestFacts(verdict=PASS, message="fault: PASS", measured="now")
    report = format_suite_report(make_sample_record(self_test=SelfTest(planted_fault=planted)))
    assert "- **The gate cannot be trusted**: fault: PASS" in report
    assert "- Not run: identical copy." in report


def test_an_undecided_self_test_is_as_it_should_be() -> None:
    planted = SelfTestFacts(verdict=INCONCLUSIVE, message="few rows", measured="now")
    report = format_suite_report(make_sample_record(self_test=SelfTest(planted_fault=planted)))
    assert "- **The rows could not decide it**: few rows" in report


def test_an_unseen_planted_delay_leaves_speed_undecided() -> None:
    planted = PlantedDelay(
        seen=False, speedup_interval=(0.7, 1.1), message="hidden", workload="b1", measured="now"
    )
    report = format_suite_report(make_sample_record(self_test=SelfTest(planted_delay=planted)))
    assert "- **Not detected, so no speed-up is decided**: hidden" in report
    larger = planted.model_copy(update={"seen": True, "clearance": 1.3, "message": "found"})
    report = format_suite_report(make_sample_record(self_test=SelfTest(planted_delay=larger)))
    line = "The run detected no slow-down under 30 % of a call, so a speed-up closer than that to its budget"
    assert f"- **{line} can stay undecided**: found" in report
    assert "- Not run: planted delay." in format_suite_report(make_sample_record(self_test=SelfTest()))


def test_a_machine_unfit_for_timing_is_named() -> None:
    record = make_sample_record()
    message = "other processes kept 1.6 of each core busy when the run began (load average)"
    assert f"- **times may be off**: {message}" in format_suite_report(record)
    assert list_machine_warnings(record) == [f"times may be off: {message}"]
    fit = make_sample_record(machine=record.machine.model_copy(update={"warnings": []}))
    assert "times may be off" not in format_suite_report(fit)
    assert list_machine_warnings(fit) == []


def test_a_percentile_that_the_rounds_do_not_carry_is_not_shown() -> None:
    assert " 6.63 / 6.81 |" in format_suite_report(make_sample_record())
    model = make_variant("x", latency={"b1": make_latency(6.0, rounds=20, p90_ms=None, p95_ms=None)})
    assert "p90 /" not in format_suite_report(make_sample_record(variants=[model]))


def test_a_gate_without_self_test_is_a_warning() -> None:
    assert "no self-test has run" in format_suite_report(make_sample_record(self_test=SelfTest()))
