"""Since the baseline, in every report."""

from __future__ import annotations

import pytest
from support.report_sections import find_section
from support.sample_record import change_variant, make_sample_record

from slimgate.record.run import RunRecord
from slimgate.record.verdicts import BaselineFacts
from slimgate.report.html import render_html_report
from slimgate.report.markdown import format_suite_report
from slimgate.report.page.table import list_heads
from slimgate.report.pr_comment import format_pr_comment
from slimgate.report.since_baseline import format_since_baseline
from slimgate.report.status import format_status_cell
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.quality import SinceFacts

LOST = SinceFacts(
    baseline=0.9425,
    value=0.939,
    drop_points=0.35,
    interval=(0.25, 0.48),
    method="Tango",
    n=8000,
    right_to_wrong=30,
    wrong_to_right=2,
    budgets=[BudgetFacts(kind="drop_points", limit=0.2, verdict=Verdict.FAIL)],
    verdict=Verdict.FAIL,
    message="int8: accuracy 0.939 vs 0.943 in the baseline v1, drop 0.35 points: FAIL",
    measured="",
)


def record(facts: SinceFacts, *, gated: bool = True, name: str | None = "v1") -> RunRecord:
    """The sample, whose int8 is held against a baseline."""
    sample = make_sample_record(baseline=BaselineFacts(path="b/run.json", name=name, created="2026-11-01"))
    return change_variant(sample, "int8", since_baseline={"accuracy": facts}, gated=gated)


def test_what_was_lost_is_a_row_with_its_budget_and_verdict() -> None:
    row = "int8 accuracy 0.943 → 0.939 0.35 [0.25, 0.48] 30 / 2 drop_points 0.2 **FAIL**"
    text = format_since_baseline(record(LOST))
    assert text.startswith("## Since the baseline v1\n")
    assert [line.replace("|", " ").split() for line in text.splitlines()][4] == row.split()
    assert "[compare.md](compare.md)" in text


@pytest.mark.parametrize(
    "write", [format_suite_report, render_html_report, lambda sample: format_pr_comment([sample])]
)
def test_every_report_has_the_section_and_the_variants_verdict(write) -> None:  # type: ignore[no-untyped-def]
    text = write(record(LOST))
    assert "Since the baseline v1" in text
    assert "30 / 2" in text
    assert "0.943 → 0.939" in text
    assert "baseline accuracy" in format_status_cell(record(LOST), record(LOST).variant("int8"))


def test_a_variant_that_is_not_gated_would_fail() -> None:
    assert "not gated (would FAIL)" in format_since_baseline(record(LOST, gated=False))


def test_rows_that_cannot_be_paired_leave_the_values_and_say_why() -> None:
    budget = BudgetFacts(kind="drop_points", limit=0.2, verdict=Verdict.INCONCLUSIVE)
    facts = SinceFacts(
        baseline=0.9,
        value=0.9,
        note="the gate rows are other ones",
        budgets=[budget],
        verdict=Verdict.INCONCLUSIVE,
        measured="",
    )
    text = format_since_baseline(record(facts, name=None))
    assert "## Since the baseline b/run.json" in text
    assert "0.900 → 0.900" in text
    assert "**INCONCLUSIVE**" in text
    assert "- int8, accuracy: the gate rows are other ones." in text


def test_a_new_variant_is_called_new_if_there_is_a_baseline() -> None:
    new = SinceFacts(value=0.9, new=True, note="new since then", measured="")
    assert "- **New since the baseline v1**, so not compared with it: int8." in format_suite_report(
        record(new)
    )
    assert "new, not gated" in format_since_baseline(record(new))
    assert format_since_baseline(make_sample_record()) == ""


def test_a_metric_with_a_budget_since_then_is_gated() -> None:
    changed = change_variant(record(LOST), "int8", since_baseline={"roc_auc": LOST})
    text = format_suite_report(changed)
    assert "roc_auc" in find_section(text, "More metrics with a budget")
    assert "Metrics without a budget" not in text
    assert "No budget, so not gated" not in text
    assert ("roc_auc", "budget since the baseline") in [
        (head.text, head.note) for head in list_heads(changed)
    ]
