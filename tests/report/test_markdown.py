"""report.md: what it says of a realistic run, of odd ones, and that it is sound markdown."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support.report_sections import (
    find_section,
    format_all_sections,
    read_raw_tables,
    read_rendered_tables,
    read_row,
    render_report,
    split_row,
)
from support.sample_record import (
    FAIL,
    PASS,
    make_latency,
    make_quality,
    make_record_of,
    make_record_of_one,
    make_sample_record,
    make_variant,
)

import slimgate.report
from slimgate._system import number_text
from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.record.build import StepFacts
from slimgate.record.run import RunRecord, VariantRecord, format_record_json, read_record
from slimgate.record.task import PREDICTIONS, SplitFacts, SuiteFacts
from slimgate.record.verdicts import RunVerdict
from slimgate.report import figures, format_index_report, format_suite_report
from slimgate.report.head import MOST_CAUTIONS
from slimgate.report.pr_comment import format_pr_comment
from slimgate.report.variant_tables import format_size_cell
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.quality import QualityFacts

GOLDEN = Path(__file__).with_name("golden_report.md")


REFRESH = "SLIMGATE_REFRESH_GOLDEN"


def test_the_report_of_the_sample_is_the_golden_one() -> None:
    report = format_suite_report(make_sample_record())
    if os.environ.get(REFRESH):
        GOLDEN.write_text(report, encoding="utf-8")
    golden = GOLDEN.read_text(encoding="utf-8")
    assert report == golden, (
        f"if the change is meant: {REFRESH}=1 pytest {Path(__file__).name}, then read the diff"
    )


@pytest.mark.parametrize(
    ("options", "shown"),
    [({"scope": "layer"}, "scope = layer"), ({}, MISSING), (None, "sparsity = 0.5, scope = layer")],
    ids=["some", "none", "not known"],
)
def test_options_left_at_their_defaults_are_not_listed(options: Any, shown: str) -> None:
    params = {"sparsity": 0.5, "scope": "layer"}
    step = StepFacts(name="magnitude_prune", params=params, given=options, seconds=0.7, log={})
    report = format_suite_report(make_record_of(make_variant("x", steps=[step])))
    row = next(line for line in report.splitlines() if "magnitude_prune" in line)
    assert split_row(row)[2:4] == ["magnitude_prune", shown]


def test_an_old_record_without_separate_options_is_read() -> None:
    old = make_sample_record().variants[1].steps[1].model_dump(mode="json", exclude={"given"})
    assert StepFacts.model_validate(old).given is None


def test_every_table_renders_with_as_many_cells_in_each_row() -> None:
    report = format_suite_report(make_sample_record())
    raw, shown = read_raw_tables(report), read_rendered_tables(report)
    assert len(raw) == len(shown) == 13
    assert [set(widths) for widths in raw] == [set(widths) for widths in shown]
    assert all(len(set(widths)) == 1 and widths[0] <= 10 for widths in shown)


def test_no_pipe_is_left_outside_the_rendered_tables() -> None:
    text = re.sub(
        r"<[^>]+>",
        "",
        re.sub(
            r"<table>.*?</table>", "", render_report(format_suite_report(make_sample_record())), flags=re.S
        ),
    )
    assert [line for line in text.splitlines() if "|" in line and "LABEL_0" not in line] == []


def test_a_record_read_back_from_json_gives_the_same_report(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(format_record_json(make_sample_record()), encoding="utf-8")
    assert format_suite_report(read_record(path)) == format_suite_report(make_sample_record())


def test_sections_are_in_the_order_in_which_a_reviewer_asks() -> None:
    heads = re.findall(r"^## (.*)", format_suite_report(make_sample_record()), flags=re.MULTILINE)
    assert heads == ["Variants", "Answers that changed", "Details", "How to read this"]
    folds = re.findall(
        r"^<details><summary><b>(.*?)</b>", format_suite_report(make_sample_record()), flags=re.MULTILINE
    )
    assert folds == [
        "Verdicts",
        "Slices that lost most",
        "Wrong answers that grew most",
        "Rows from right to wrong",
        "Metrics without a budget (not gated)",
        "Latency in full",
        "Memory",
        "What was built from what",
        "Loss and quality per epoch",
        "Artifacts",
        "Data",
        "Self-test of the gate",
        "Machine and versions",
    ]


def test_the_first_screen_is_short() -> None:
    """Title, verdict, what to ship, five cautions and the table of variants."""
    lines = format_suite_report(make_sample_record()).partition("\nA drop is how much worse")[0].splitlines()
    cautions = lines[lines.index("**Before you trust this**") + 2 :]
    assert cautions.index("") == MOST_CAUTIONS
    assert cautions[6] == "<details><summary>3 more notes</summary>"
    assert len(lines) <= 55


def test_a_verdict_line_is_reported_once() -> None:
    record = make_sample_record()
    messages = [result.facts.message for model in record.variants for result in model.results()]
    for text in (format_suite_report(record), format_pr_comment([record])):
        for message in filter(None, messages):
            assert text.count(escape(message)) <= 1
    student = find_section(format_suite_report(record), "Verdicts")
    assert "- student: accuracy FAIL, quoted above · method: Gaffke's bound, grouped" in student


def test_the_verdict_and_its_reasons_follow_the_title() -> None:
    lines = [line for line in format_suite_report(make_sample_record()).splitlines() if line]
    assert lines[1].startswith(
        "**FAIL** · 9 budgets hold, 4 do not, 1 is undecided · 1 variant could not be built"
    )
    assert lines[lines.index("**What does not hold**") + 1].startswith(
        "- student: accuracy 0.800 vs 0.829, drop 2.9 points [2.3, 3.5], budget 2.0"
    )


def test_the_teacher_comes_first_in_every_table() -> None:
    moved = make_sample_record(variants=list(reversed(make_sample_record().variants)))
    names = re.findall(r"^\| (\S+)", find_section(format_suite_report(moved), "Variants"), flags=re.MULTILINE)
    assert names[:3] == ["variant", "teacher", "released"]


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("teacher", "reference"),
        ("student", "**FAIL** (accuracy, f1_macro, flips, slices accuracy)"),
        ("distilled", "PASS"),
        ("int8", "PASS so far (f1_macro not judged yet)"),
        ("pruned-30", "**INCONCLUSIVE** (accuracy)"),
        ("pruned-50", "not gated (would FAIL)"),
        ("released", "**error**"),
    ],
)
def test_the_verdict_column_says_what_decided(name: str, verdict: str) -> None:
    assert read_row(format_suite_report(make_sample_record()), name)[1] == verdict


def test_a_row_holds_size_speed_ups_and_drops() -> None:
    """Without a duel the median stands in its place, as it does for the teacher."""
    assert read_row(format_suite_report(make_sample_record()), "distilled-int8")[2:] == [
        "18.4 (4.7× smaller)",
        "2.31× [2.25, 2.38]",
        "31.9 ms",
        "0.824 (drop 0.5 [0.0, 1.1])",
        "0.821 (drop 0.6 [0.0, 1.2])",
    ]


def test_a_size_says_that_a_shared_table_was_taken_apart() -> None:
    record = make_sample_record()
    model = record.variant("distilled-int8")
    last = model.steps[-1]
    untied = last.model_copy(update={"log": {**last.log, "untied": ["embed_tokens", "lm_head"]}})
    apart = model.model_copy(update={"steps": [*model.steps[:-1], untied]})
    assert format_size_cell(model) == "18.4 (4.7× smaller)"
    assert format_size_cell(apart) == "18.4 (4.7× smaller; a shared table is stored twice)"


def test_what_was_not_measured_is_a_dash_and_never_nan() -> None:
    report = format_suite_report(make_sample_record())
    assert read_row(report, "released")[2:] == ["–"] * 5
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", report)


def test_numbers_that_are_not_finite_are_dashes() -> None:
    nan = float("nan")
    bad = make_quality("x", "accuracy", 0.3, (0.0, 0.6), PASS).model_copy(
        update={
            "value": nan,
            "drop_points": nan,
            "interval": (nan, nan),
            "message": None,
            "design_effect": nan,
        }
    )
    times = make_latency(3.0).model_copy(
        update={"p50_ms": nan, "mean_ms": nan, "std_ms": nan, "throughput_per_s": nan}
    )
    report = format_suite_report(make_record_of_one(quality={"accuracy": bad}, latency={"b1": times}))
    assert not re.search(r"\bnan\b|\binf\b", report, flags=re.IGNORECASE)


def test_a_metric_without_a_budget_has_a_separate_table() -> None:
    report = format_suite_report(make_sample_record())
    assert "roc_auc" not in find_section(report, "Variants")
    assert "0.950 (drop 0.8 [0.5, 1.1])" in find_section(report, "Metrics without a budget (not gated)")
    assert "so not gated: roc_auc." in report


def of_many_metrics(kind: str = "classification") -> RunRecord:
    """One variant with a budget on each of twelve metrics, and `free`, which has none."""
    names = [f"metric_{place}" for place in range(12)]
    facts = {name: make_quality("x", "accuracy", 0.3, (0.0, 0.6), Verdict.PASS) for name in names}
    record = make_record_of_one(
        quality={**facts, "free": make_quality("x", "accuracy", 0.3, (0.0, 0.6), None)}
    )
    task = record.task.model_copy(update={"kind": kind})
    return record.model_copy(update={"task": task})


def metric_names(text: str) -> set[str]:
    """The metrics that a text names."""
    return set(re.findall(r"metric_\d+|free", text.replace("\\", "")))


@pytest.mark.parametrize("kind", ["classification", RECORD_KIND, PREDICTIONS])
def test_only_free_metrics_are_called_not_gated(kind: str) -> None:
    record = of_many_metrics(kind)
    for text in (format_suite_report(record), format_all_sections(record)):
        assert metric_names(find_section(text, "Metrics without a budget (not gated)")) == {"free"}


def test_each_gated_metric_is_in_one_of_two_tables() -> None:
    report = format_suite_report(of_many_metrics())
    first, more = (
        metric_names(find_section(report, name)) for name in ("Variants", "More metrics with a budget")
    )
    assert first | more == {f"metric_{place}" for place in range(12)}
    assert not first & more
    assert len(first) == 5  # beside the three fixed columns and two workloads
    for kind in (RECORD_KIND, PREDICTIONS):
        assert "More metrics with a budget" not in format_suite_report(of_many_metrics(kind))


def test_a_variant_without_the_budget_that_others_have_is_marked() -> None:
    teacher, student = make_sample_record().variants[:2]
    free = make_variant("free", quality={"accuracy": make_quality("free", "accuracy", 0.3, (0.0, 0.6), None)})
    report = format_suite_report(make_sample_record(variants=[teacher, student, free]))
    assert "0.826 (drop 0.3 [0.0, 0.6]; no budget)" in read_row(report, "free")


def test_shared_budgets_are_in_the_head_others_in_the_cells() -> None:
    assert "accuracy (drop at most 2)" in read_row(format_suite_report(make_sample_record()), "variant")

    def budgeted(name: str, *budgets: tuple[str, float]) -> VariantRecord:
        judged = [BudgetFacts(kind=kind, limit=limit, verdict=PASS) for kind, limit in budgets]
        facts = make_quality(name, "accuracy", 0.3, (0.0, 0.6), PASS).model_copy(update={"budgets": judged})
        return make_variant(name, quality={"accuracy": facts})

    def cells(*variants: VariantRecord) -> list[str]:
        report = format_suite_report(make_record_of(*variants))
        at = next(i for i, cell in enumerate(read_row(report, "variant")) if cell.startswith("accuracy"))
        return [read_row(report, name)[at] for name in ("variant", *(model.name for model in variants))]

    two, limits = ("drop_points", 2.0), (("drop_points", 2.0), ("floor", 0.8))
    drop = "0.826 (drop 0.3 [0.0, 0.6]"
    assert cells(budgeted("a", two), budgeted("b", ("drop_points", 5.0)), budgeted("c")) == [
        "accuracy",
        f"{drop}; at most 2)",
        f"{drop}; at most 5)",
        f"{drop}; no budget)",
    ]
    assert cells(budgeted("a", *limits), budgeted("b", *limits)) == [
        "accuracy (drop at most 2, floor 0.8)",
        f"{drop})",
        f"{drop})",
    ]


def test_a_bound_is_never_rounded_onto_its_budget() -> None:
    facts = make_quality("x", "accuracy", 1.2, (0.5, 1.96), PASS)
    assert "0.817 (drop 1.20 [0.50, 1.96])" in read_row(
        format_suite_report(make_record_of_one(quality={"accuracy": facts})), "x"
    )


def test_the_gain_of_distillation_is_in_points() -> None:
    report = format_suite_report(make_sample_record())
    gains = "accuracy +2.6 points, f1_macro +2.6 points, roc_auc +0.7 points"
    assert f"- distilled over its twin student: {gains} (+ is better" in report


def test_the_gain_in_perplexity_is_in_percent() -> None:
    models = [make_sample_record().variants[0]]
    for name, grown in (("student", 4.0), ("distilled", 1.5)):
        facts = QualityFacts(
            teacher=20.0, value=20 + grown / 5, drop_points=grown, unit="percent", n=9, measured=""
        )
        models.append(make_variant(name, quality={"perplexity": facts}, twin="student"))
    report = format_suite_report(make_sample_record(variants=models))
    assert "- distilled over its twin student: perplexity +2.5 % (+ is better" in report


@pytest.mark.parametrize("count", [0, 1], ids=["no models", "only the teacher"])
def test_a_record_without_variants_still_gives_a_report(count: int) -> None:
    report = format_suite_report(make_sample_record(variants=make_sample_record().variants[:count]))
    assert "**Ship nothing**: there is no variant, only the teacher was measured." in report
    assert "Nothing was judged against a budget." in format_all_sections(make_sample_record(variants=[]))
    render_report(report)


def test_a_variant_with_nothing_measured_still_gives_a_report() -> None:
    report = format_suite_report(make_record_of_one())
    assert read_row(report, "x")[1] == "no budget"
    assert "**Ship nothing yet**: no variant has been judged against a budget." in report


def test_a_verdict_without_a_message_has_its_line() -> None:
    facts = make_quality("x", "accuracy", 0.3, (-0.2, 0.8), PASS).model_copy(update={"message": None})
    report = format_suite_report(make_record_of_one(quality={"accuracy": facts}))
    assert "- x: accuracy PASS" in report


def test_an_error_does_not_hide_an_earlier_verdict() -> None:
    failing = {"accuracy": make_quality("x", "accuracy", 4.0, (3.0, 5.0), FAIL)}
    report = format_suite_report(make_record_of_one(quality=failing, error="MeasureError: out of memory"))
    assert read_row(report, "x")[1] == "**error**, **FAIL** (accuracy)"


def test_a_variant_that_is_not_gated_and_broke_says_both() -> None:
    report = format_suite_report(
        make_record_of_one(gated=False, reason="an experiment", error="BuildError: no such layer")
    )
    assert read_row(report, "x")[1] == "not gated (error)"


def test_a_verdict_on_latency_counts_and_has_its_line() -> None:
    good = {"accuracy": make_quality("x", "accuracy", 0.1, (-0.2, 0.4), PASS)}
    times = make_latency(6.0, speedup=1.05, speedup_interval=(1.01, 1.1), verdict=FAIL)
    report = format_suite_report(make_record_of_one(quality=good, latency={"b32x64": times}))
    assert read_row(report, "x")[1] == "**FAIL** (latency batch 32 × 64 tokens)"
    assert "- x: latency b32x64 FAIL" in find_section(report, "Verdicts")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number_text.format_significant(1234.4), "1,234"),
        (number_text.format_significant(0.04123), "0.0412"),
        (number_text.format_significant(0.000012), "1.20e-05"),
        (number_text.format_significant(0.0), "0.00"),
        (number_text.format_fixed(-0.04, 1), "0.0"),
        (number_text.format_fixed(None, 1), "–"),
        (number_text.format_duration(9.96), "10.0 s"),
        (number_text.format_duration(59.6), "1 min 0 s"),
        (number_text.format_duration(None), "–"),
        (number_text.format_megabytes(1_048_576), "1.0"),
        (number_text.format_megabytes(45_000), "0.043"),
        (figures.format_compression(1.02), "1.02× smaller"),
        (figures.format_compression(0.5), "2.0× larger"),
        (figures.format_compression(0.0), None),
        (figures.format_drop_words(0.5, None), "drop 0.5"),
    ],
)
def test_numbers_have_the_digits_that_mean_something(shown: str | None, expected: str | None) -> None:
    assert shown == expected


def test_many_labels_are_summed_up_in_a_line_a_split() -> None:
    counts = {f"label_{number:02}": 40 for number in range(77)} | {"label_07": 12}
    gate = SplitFacts(n=3052, digest="ab", dropped_overlap=0, repeats=0, label_counts=counts)
    task = make_sample_record().task.model_copy(update={"splits": {"gate": gate}})
    report = format_suite_report(make_sample_record(task=task))
    assert "- gate: 77 labels, fewest rows 12 (label_07), most 40 (label_76)" in report


def test_the_index_links_the_report_of_each_suite() -> None:
    passed = RunVerdict(status="PASS", passed=3, failed=0, inconclusive=0, not_gated=0)
    suite = SuiteFacts(path="bench/my suite.toml", title="Mine", digest="x", seeds=[0])
    records = [make_sample_record(), make_sample_record(verdict=passed, suite=suite)]
    index = format_index_report(records, ["library_docs/report.md", "my suite/report.md"])
    assert index.startswith("# slimgate: FAIL, 1 of 2 suites hold\n")
    assert "| [bench/library_docs.toml](library_docs/report.md) | **FAIL** |" in index
    assert "| [bench/my suite.toml](my%20suite/report.md)       | PASS     |" in index


def test_the_index_counts_suites_without_budgets_apart() -> None:
    passed = RunVerdict(status="PASS", passed=3, failed=0, inconclusive=0, not_gated=0)
    records = [make_sample_record(verdict=passed), make_record_of_one(status="measured")]
    index = format_index_report(records, ["a/report.md", "b/report.md"])
    assert index.startswith("# slimgate: measured, 1 of 2 suites hold, 1 suite has no budget\n")
    assert "| **measured** |" in index


def test_a_run_without_budgets_is_measured_and_holds_nothing() -> None:
    bare = RunVerdict(status="measured", passed=0, failed=0, inconclusive=0, not_gated=2)
    line = format_suite_report(make_sample_record(variants=[make_variant("x")], verdict=bare)).splitlines()[2]
    assert line == "**measured** · no budget was judged · 2 results not gated"


def test_the_index_of_no_suite_says_so() -> None:
    assert format_index_report([], []) == "# slimgate\n\nNo suite has run.\n"


def test_no_file_of_the_report_imports_torch() -> None:
    root = Path(slimgate.report.__file__).parent
    paths = list(root.rglob("*.py"))
    assert {root / "markdown.py", root / "page/table.py"} <= set(paths)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in {"torch", "transformers"}], path.name
