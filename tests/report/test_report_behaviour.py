"""The report's section on behaviour."""

from __future__ import annotations

import re

import pytest
from support.report_sections import (
    NASTY,
    find_section,
    format_all_sections,
    read_raw_tables,
    read_rendered_tables,
    read_table,
    render_report,
)
from support.sample_record import FAIL, PASS, make_sample_record, make_slice_facts, make_variant

from slimgate.judge.answer_figures import compute_tradeoff
from slimgate.outcomes import class_outcomes
from slimgate.record.run import RunRecord
from slimgate.report.behaviour import format_worst_slices
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts, Flips, QuotedRow, ReliabilityFacts, TradeoffFacts


def record_of(*facts: BehaviourFacts, classes: list[str] | None = None) -> RunRecord:
    """The sample with its teacher and a variant for each of the facts: x0, x1 …"""
    sample = make_sample_record()
    models = [make_variant(f"x{k}", behaviour=behaviour) for k, behaviour in enumerate(facts)]
    task = sample.task.model_copy(update={"classes": classes or sample.task.classes})
    return sample.model_copy(update={"variants": [sample.variants[0], *models], "task": task})


def test_changed_answers_are_beside_the_teachers_calibration() -> None:
    text = find_section(format_all_sections(make_sample_record()), "Answers that changed")
    cells = [cell.strip() for cell in text.splitlines()[3].split("|")]
    assert cells[1:-1] == [
        "student",
        "361 (6.0 % [5.4, 6.7])",
        "187",
        "702",
        "88.3 %",
        "0.278",
        "0.101 (teacher 0.077)",
        "0.246 (teacher 0.223)",
    ]
    assert "| distilled |" in text
    assert "| int8" not in text


def test_a_share_of_lost_rows_is_not_rounded_to_its_budget() -> None:
    lost = Flips(right_to_wrong=29, wrong_to_right=0, changed=29, percent=2.9, interval=(2.5, 4.04))
    budget = BudgetFacts(kind="flips_max_percent", limit=4.0, verdict=Verdict.INCONCLUSIVE)
    facts = BehaviourFacts(flips=lost, budgets=[budget])
    text = find_section(format_all_sections(record_of(facts)), "Answers that changed")
    assert "29 (2.90 % [2.50, 4.04])" in text


def test_slices_that_lost_are_listed_and_few_rows_marked() -> None:
    text = find_section(format_all_sections(make_sample_record()), "Slices, the largest drop first")
    assert "<summary><b>student</b>, accuracy, 8 of the 9 slices that lost, of 10 in all</summary>" in text
    rows = [line for line in text.splitlines() if line.startswith(("| label:", "| length", "| section"))]
    assert [row.split("|")[1].strip() for row in rows][:3] == [
        "section: guide",
        "label: networkx",
        "length_bucket: 10 to 19 words",
    ]
    assert "41 (few)" in rows[0]
    assert "| 6.4 [5.7, 8.1] |" in re.sub(" +", " ", rows[1])
    assert "**FAIL**" in rows[1]
    assert "INCONCLUSIVE" in rows[2]
    assert "**distilled**, accuracy: none of 1 slices lost." in text


def test_of_many_slices_the_worst_are_shown_and_those_that_fail() -> None:
    slices = [make_slice_facts("label", f"c{k}", 60, 20.0 - k, (1.0, 30.0), verdict=PASS) for k in range(15)]
    slices[12] = slices[12].model_copy(update={"verdict": FAIL})
    text = find_section(
        format_all_sections(record_of(BehaviourFacts(slices=slices))), "Slices, the largest drop first"
    )
    assert "9 of the 15 slices that lost, of 15 in all</summary>" in text
    assert re.findall(r"label: (c\d+)", text) == [*(f"c{k}" for k in range(8)), "c12"]


@pytest.mark.parametrize("field", ["verdict", "own_verdict"])
def test_a_slice_that_fails_is_among_the_worst_of_report_md(field: str) -> None:
    slices = [make_slice_facts("label", f"c{k}", 60, 20.0 - k, (1.0, 30.0)) for k in range(6)]
    slices[4] = slices[4].model_copy(update={field: FAIL})
    counts, text = format_worst_slices(record_of(BehaviourFacts(slices=slices)))
    assert counts == "3 of 6"
    assert re.findall(r"label: (c\d+)", text) == ["c0", "c1", "c4"]
    assert text.count("**FAIL**") == 1


def test_slices_that_fail_come_before_the_worst_of_variants() -> None:
    worst = [make_slice_facts("label", f"w{k}", 60, 30.0 - k, (1.0, 30.0)) for k in range(2)]
    failing = [
        make_slice_facts("label", f"f{k}", 60, 20.0 - k / 2, (1.0, 30.0), verdict=FAIL) for k in range(19)
    ]
    counts, text = format_worst_slices(
        record_of(*[BehaviourFacts(slices=[*worst, *failing[:n]]) for n in (19, 3)])
    )
    assert counts == "20 of 26"
    names = re.findall(r"label: ([wf]\d+)", text)
    assert names == [*(f"f{k}" for k in range(17)), "f0", "f1", "f2"]


def test_the_gates_line_is_among_the_verdicts_with_its_reason() -> None:
    text = find_section(format_all_sections(make_sample_record()), "Verdicts")
    assert "- student: behaviour FAIL, quoted above" in text
    assert "why this budget: users notice turned answers" in text


def test_a_verdict_without_a_message_has_its_line() -> None:
    budget = BudgetFacts(kind="flips_max_percent", limit=1.0, verdict=PASS)
    report = format_all_sections(record_of(BehaviourFacts(budgets=[budget], verdict=PASS)))
    assert "- x0: behaviour PASS" in find_section(report, "Verdicts")


def test_lost_rows_are_quoted_with_the_confidence_of_both() -> None:
    text = find_section(format_all_sections(make_sample_record()), "Rows from right to wrong")
    assert "<summary><b>student</b>, most confidently wrong first, 2 of 361</summary>" in text
    assert "| all/8012 | networkx | networkx (0.93) | sympy (0.98) |" in re.sub(" +", " ", text)
    assert r"Returns a view of the array \| with \`axis\` \*last\* &lt;b&gt;…" in text
    assert "distilled" not in text
    unsure = [QuotedRow(id="a", label="x", teacher="x", variant="y")]
    flips = Flips(right_to_wrong=3, wrong_to_right=1, changed=4, quoted=unsure)
    text = find_section(
        format_all_sections(record_of(BehaviourFacts(flips=flips))), "Rows from right to wrong"
    )
    assert "<summary><b>x0</b>, 1 of 3</summary>" in text
    assert "confident" not in text


def test_calibration_shows_the_bins_that_hold_rows() -> None:
    text = find_section(format_all_sections(make_sample_record()), "Calibration")
    assert re.search(r"\| 0\.93 to 1\.00 \| +0\.94 \(0\.99, 4,634\) \| +0\.92 \(1\.00, 4,986\) \|", text)
    assert "0.20 to 0.27" not in text


def test_a_bin_that_only_one_model_fills_is_a_dash_for_the_other() -> None:
    full = ReliabilityFacts(low=0.0, high=1.0, count=3, confidence=0.5, accuracy=0.5)
    empty = full.model_copy(update={"count": 0, "confidence": None, "accuracy": None})
    report = format_all_sections(record_of(BehaviourFacts(reliability=[full], reliability_teacher=[empty])))
    assert re.search(
        r"\| 0\.00 to 1\.00\s*\|\s*– \| 0\.50 \(0\.50, 3\) \|", find_section(report, "Calibration")
    )


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["no", "yes"], "of yes, answered where its probability"),
        (["a", "b", "c"], "over all classes, answered"),
    ],
)
def test_the_trade_off_says_of_what(classes: list[str], words: str) -> None:
    point = TradeoffFacts(threshold=0.5, coverage=0.94, precision=0.82, recall=None)
    facts = BehaviourFacts(tradeoff=[point], tradeoff_teacher=[point])
    text = find_section(
        format_all_sections(record_of(facts, classes=classes)), "Precision and recall at thresholds"
    )
    assert words in text
    assert re.search(r"\|\s*0\.5 \| 0\.820 / – \(94 %\) \| 0\.820 / – \(94 %\) \|", text)


@pytest.mark.parametrize(
    ("classes", "stated", "positive"),
    [
        pytest.param(["toxic", "clean"], "toxic", "toxic", id="stated"),
        pytest.param(["yes", "no"], None, "yes", id="by convention"),
        pytest.param(["a", "b"], None, "b", id="not known"),
    ],
)
def test_the_trade_off_is_of_the_positive_class(
    classes: list[str], stated: str | None, positive: str
) -> None:
    """The words name the class whose precision and recall the judge computed."""
    outcomes = class_outcomes(
        [classes[0], *[classes[1]] * 3],
        classes=classes,
        probabilities=[[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]],
        positive=stated,
    )
    points = compute_tradeoff(outcomes)
    assert points is not None
    assert points[-1].coverage == (0.25 if positive == classes[0] else 0.0)  # of the threshold 0.9
    record = record_of(BehaviourFacts(tradeoff=points, tradeoff_teacher=points), classes=classes)
    task = record.task.model_copy(update={"params": {"positive": stated}})
    sections = format_all_sections(record.model_copy(update={"task": task}))
    words = f"of {positive}, answered where its probability"
    assert words in find_section(sections, "Precision and recall at thresholds")


def test_more_models_than_fit_are_in_a_second_table() -> None:
    point = TradeoffFacts(threshold=0.5, coverage=1.0, precision=1.0, recall=1.0)
    facts = [BehaviourFacts(tradeoff=[point], tradeoff_teacher=[point])] * 8
    text = find_section(format_all_sections(record_of(*facts)), "Precision and recall at thresholds")
    assert [line.split()[3:-1:2] for line in text.splitlines() if "threshold |" in line] == [
        ["teacher", *(f"x{k}" for k in range(5))],
        ["x5", "x6", "x7"],
    ]


def test_a_small_confusion_matrix_is_whole_with_the_difference() -> None:
    text = find_section(format_all_sections(make_sample_record()), "Confusion")
    assert "| teacher, label   |   networkx |   pandas |   sympy |   transformers |" in text
    assert re.search(r"\| networkx +\| 1,144 \(-96\) \|\s+356 \(\+96\) \|", text)
    assert "As the teacher's in every cell: distilled." in text


def test_of_many_classes_the_pairs_that_changed_most_are_shown() -> None:
    cells = [(k, k, 40, 40 - k) for k in range(12)] + [(3, 5, 0, 30)]
    facts = BehaviourFacts(confusion_cells=cells)
    text = find_section(
        format_all_sections(record_of(facts, classes=[f"c{k}" for k in range(12)])), "Confusion"
    )
    assert "**x0**, 10 of the 12 pairs whose count changed, most first:" in text
    rows = [cells for cells in read_table(text) if cells[0].startswith("c")]
    assert rows[0] == ["c3", "c5", "0", "30", "+30"]
    assert rows[1] == ["c11", "(right)", "40", "29", "-11"]
    assert len(rows) == 10


def test_a_confusion_that_did_not_change_says_so() -> None:
    facts = BehaviourFacts(confusion_cells=[(0, 0, 40, 40)])
    report = format_all_sections(record_of(facts, classes=[f"c{k}" for k in range(31)]))
    assert "**x0**: every pair of label and prediction has as many rows as before." in report


def test_a_record_without_behaviour_has_no_section() -> None:
    assert "## Behaviour" not in format_all_sections(record_of())


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_nasty_text_of_rows_and_slices_stays_in_its_cell(text: str) -> None:
    quoted = QuotedRow(id=text, label=text, teacher=text, variant=text, variant_confidence=0.9, text=text)
    facts = BehaviourFacts(
        flips=Flips(right_to_wrong=3, wrong_to_right=0, changed=3, quoted=[quoted]),
        slices=[make_slice_facts(text, text, 30, 5.0, (1.0, 9.0), metric=text)],
        confusion=[[1, 2], [3, 4]],
        confusion_teacher=[[2, 1], [3, 4]],
        budgets=[BudgetFacts(kind=f"slices.{text}", limit=1.0, verdict=PASS)],
        verdict=PASS,
        message=text,
    )
    report = format_all_sections(record_of(facts, classes=[text, "b"]))
    assert report.replace("\n", "").isprintable()
    assert "<script>" not in render_report(report)
    assert 'href="http' not in render_report(report)
    raw, shown = read_raw_tables(report), read_rendered_tables(report)
    assert all(len(set(widths)) == 1 for widths in raw)
    assert [set(widths) for widths in raw] == [set(widths) for widths in shown]
