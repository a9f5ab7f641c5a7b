"""pr-comment.md: failing variants first, in fewer characters than GitHub takes, and tables whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from support.report_sections import find_row
from support.sample_record import (
    make_quality,
    make_record_of,
    make_sample_record,
    make_slice_facts,
    make_variant,
)

from slimgate.judge.budget_tables import make_slices_kind
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import PREDICTIONS
from slimgate.record.verdicts import BaselineFacts, LoosenedBudget, RunVerdict, Weakening
from slimgate.report.markdown import format_index_report, format_suite_report
from slimgate.report.pr_comment import LIMIT, MARKER, format_pr_comment, format_weaker_comment
from slimgate.report.tool_files import count_lines, format_log_table
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.quality import QualityFacts

pytestmark = pytest.mark.slow


def make_record(count: int) -> RunRecord:
    """So many variants, each with a message; the last one fails."""
    models = [
        make_variant(
            f"variant-{n}",
            quality={
                "accuracy": make_quality(
                    f"variant-{n}",
                    "accuracy",
                    1.0,
                    (0.5, 1.5),
                    Verdict.FAIL if n == count - 1 else Verdict.PASS,
                )
            },
        )
        for n in range(count)
    ]
    record = make_sample_record()
    messages = [f"variant-{n}: does not hold, {'very ' * 60}much" for n in range(count)]
    verdict = RunVerdict(
        status="FAIL", passed=0, failed=count, inconclusive=0, not_gated=0, messages=messages
    )
    return make_sample_record(variants=[record.variants[0], *models], verdict=verdict)


def tables(text: str) -> list[list[str]]:
    """The cells of the first column of each table, as GitHub would render it."""
    columns: list[list[str]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            columns.append([])
        if token.type == "tr_open" and tokens[place + 1].type in ("td_open", "th_open"):
            columns[-1].append(tokens[place + 2].content)
    return columns


def test_the_first_line_is_the_marker_and_the_verdict_follows() -> None:
    lines = format_pr_comment([make_sample_record()]).splitlines()
    assert lines[0] == MARKER
    assert lines[2].startswith("## slimgate: ")
    assert lines[4].startswith("**FAIL** · ")


def test_failing_variants_come_first_and_the_teacher_last() -> None:
    record = make_sample_record()
    (cells,) = tables(format_pr_comment([record]))
    assert cells[0] == "variant"
    assert cells[-1] == "teacher"
    gated = [model for model in record.variants if model.gated]
    broken = [model.name for model in gated if model.error is not None]
    assert cells[1] in broken
    places = {name: place for place, name in enumerate(cells)}
    ungated = [model.name for model in record.variants if not model.gated]
    assert min(places[name] for name in ungated) > places["distilled"]
    assert places["student"] < places["distilled"]


def test_every_message_of_a_failing_budget_is_in_it() -> None:
    record = make_sample_record()
    text = format_pr_comment([record])
    start = text.index("**What does not hold**")
    listed = text[start : text.index("\n\n**What was not built", start)].splitlines()[2:]
    assert len(listed) == len(record.verdict.messages) - 1  # the error of `released` is said once, below it
    assert text.count("its labels do not fit the data") == 1
    assert f"```\n{record.command}\n```" in text


def test_details_are_folded_and_closed() -> None:
    text = format_pr_comment([make_sample_record()])
    assert text.count("<details>") == text.count("</details>") == 1
    assert re.search(r"<details><summary>[^\n]+</summary>\n\n", text)


@pytest.mark.parametrize("count", [3, 200, 2000])
def test_it_is_short_enough_and_says_what_it_left_out(count: int) -> None:
    text = format_pr_comment([make_record(count)])
    assert len(text) < LIMIT
    assert text.count("<details>") == text.count("</details>")
    assert "How to reproduce, with slimgate " in text
    shown = sum(line.startswith("- variant-") and "does not hold, very" in line for line in text.splitlines())
    left = f"… and {count - shown:,} more budgets that do not hold in the report."
    assert (left in text) is (shown < count)
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|"), line
    assert shown == count or count > 3


def test_with_little_room_the_failing_variant_is_the_last_to_go() -> None:
    record = make_record(400)
    quiet = record.verdict.model_copy(update={"messages": []})
    text = format_pr_comment([record.model_copy(update={"verdict": quiet})], limit=8_000)
    assert len(text) < 8_000
    (cells,) = tables(text)
    assert cells[1] == "variant-399"
    assert cells[-1] == "teacher"
    assert re.search(r"… and \d+ more variants in the report\.", text)


def test_a_loosened_budget_is_reported() -> None:
    loosened = LoosenedBudget(
        variant="int8", budget="accuracy", kind="drop_points", before=1.0, limit=2.0, reason="new data"
    )
    baseline = BaselineFacts(path="b.json", created="2026-11-01", loosened=[loosened])
    assert "**Loosened**: int8, accuracy had drop" in format_pr_comment(
        [make_sample_record(baseline=baseline)]
    )


def test_the_comment_says_what_was_compared_and_on_how_many_rows() -> None:
    lines = format_pr_comment([make_sample_record()]).splitlines()
    compared = next(place for place, line in enumerate(lines) if " gate rows in " in line)
    assert compared < lines.index("**What to ship**")
    assert lines[compared].startswith(
        "Suite bench/library_docs.toml · 6,000 gate rows in 1,015 groups · 2026-"
    )
    assert lines[compared + 1].startswith("Teacher, digest 1d3c9b76dd6a · AMD EPYC, 2 cores · baseline none")


def test_many_targets_are_described_in_their_tables_alone() -> None:
    record = make_sample_record()
    variants = [make_variant(f"int4-{n:03d}") for n in range(200)]
    task = record.task.model_copy(
        update={
            "kind": PREDICTIONS,
            "source": {
                "name": "csv",
                "base": "a.csv",
                "targets": [f"int4-{n:03d}.csv" for n in range(200)],
                "files": {},
            },
        }
    )
    text = format_pr_comment([make_sample_record(task=task, variants=[record.variants[0], *variants])])
    assert "6,000 rows" in text
    assert "int4-199.csv" not in text


def test_several_suites_share_one_comment_verdicts_first() -> None:
    other = make_sample_record(
        verdict=RunVerdict(status="PASS", passed=1, failed=0, inconclusive=0, not_gated=0)
    )
    text = format_pr_comment([make_sample_record(), other])
    assert text.count(MARKER) == 1
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == 2
    assert text.splitlines()[2] == "**FAIL, 1 of 2 suites hold**"
    assert text.splitlines()[4:8] == [
        "Ship **distilled** or **distilled-int8**: inside all budgets of all 2 suites.",
        "",
        "- bench/library_docs.toml: **FAIL, partial**",
        "- bench/library_docs.toml: **PASS**",
    ]


@pytest.mark.parametrize(
    ("verdicts", "unjudged", "line"),
    [
        (("PASS", "PASS"), (), "Ship **int8**: inside all budgets of all 2 suites."),
        (("PASS", "FAIL"), (), "**Ship nothing**: no variant passed all of its budgets in all 2 suites."),
        (("PASS", "PASS"), ("c.toml: no rows",), "**Ship nothing yet**: 1 suite could not be judged."),
    ],
)
def test_several_suites_have_one_line_on_what_to_ship(
    verdicts: tuple[str, str], unjudged: tuple[str, ...], line: str
) -> None:
    records = [
        make_record_of(
            make_variant(
                "int8", quality={"accuracy": make_quality("int8", "accuracy", 1.0, (0.5, 1.5), verdict)}
            )
        )
        for verdict in map(Verdict, verdicts)
    ]
    assert line in format_pr_comment(records, unjudged=unjudged).splitlines()
    assert line in format_index_report(records, ["x/report.md"] * len(records), unjudged).splitlines()


def test_suites_without_a_common_variant_have_no_such_line() -> None:
    teacher, record = make_sample_record().variants[0], make_sample_record()
    other = make_sample_record(variants=[teacher, make_variant("other")])
    assert "suites.\n" not in format_pr_comment([record, other])


def test_words_of_others_stay_words() -> None:
    record = make_sample_record(command="pytest bench -k '```\n<!-- slimgate:comment -->'")
    messages = ["x: <img src=x onerror=alert(1)> | `y` @everyone"]
    text = format_pr_comment(
        [record.model_copy(update={"verdict": record.verdict.model_copy(update={"messages": messages})})]
    )
    assert "<img" not in MarkdownIt("commonmark").render(text)
    assert text.splitlines().count(MARKER) == 1


@pytest.mark.parametrize(
    "record", [make_sample_record(), make_record(200)], ids=["sample", "200 variants fail"]
)
def test_it_has_at_most_60_lines(record: RunRecord) -> None:
    assert len(format_pr_comment([record]).splitlines()) <= 60


def test_gated_variants_gone_since_the_baseline_are_reported() -> None:
    baseline = BaselineFacts(path="b.json", created="2026-11-01", gates_gone=["int4"])
    assert "- **Gone since the baseline**, with their budgets: int4.\n" in format_pr_comment(
        [make_sample_record(baseline=baseline)]
    )


def test_a_weaker_gate_is_the_first_line_below_the_marker() -> None:
    weaker = [
        Weakening(about="rows", change="the gate rows have changed | 9", reason=None),
        Weakening(about="variants", change="int4 is gone, with its budgets", reason="nobody ships it"),
    ]
    baseline = BaselineFacts(path="b.json", name="v1", created="2026-11-01", weaker=weaker)
    lines = format_pr_comment([make_sample_record(baseline=baseline)]).splitlines()
    assert lines[0] == MARKER
    assert lines[2] == "**The gate demands less than the baseline v1**: 2 changes, 1 without a reason"
    assert lines[4] == "- the gate rows have changed \\| 9 (no reason)"
    assert lines[5] == "- int4 is gone, with its budgets (nobody ships it)"
    alone = format_weaker_comment("the | suite", "the baseline v1", weaker).splitlines()
    assert (alone[0], alone[2]) == (MARKER, lines[2])
    assert "Nothing was built or judged." in alone[-1]


def of_predictions(*models: VariantRecord) -> RunRecord:
    """A record of prediction files: the sample's teacher and these variants."""
    record = make_record_of(*models)
    return record.model_copy(update={"task": record.task.model_copy(update={"kind": PREDICTIONS})})


def with_slices(*verdicts: Verdict, budgets: list[BudgetFacts] | None = None) -> VariantRecord:
    """A variant with a budget on slices; each slice has one of the verdicts."""
    slices = [
        make_slice_facts("label", f"l{place}", 100, 1.0, (0.0, 2.0), verdict=verdict)
        for place, verdict in enumerate(verdicts)
    ]
    budgets = budgets or [BudgetFacts(kind=make_slices_kind("accuracy"), limit=3.0, verdict=verdicts[-1])]
    behaviour = BehaviourFacts(n=1000, slices=slices, budgets=budgets, verdict=verdicts[-1])
    return make_variant("x", behaviour=behaviour)


@pytest.mark.parametrize("write", [lambda record: format_pr_comment([record]), format_suite_report])
def test_a_table_of_predictions_has_flips_and_slices(write: Callable[[RunRecord], str]) -> None:
    text = write(of_predictions(make_sample_record().variant("student")))
    limit = "at most 4 % of the rows right to wrong"
    assert find_row(text, "flips") == ["flips", "6,000", "–", "6.02 % [5.39, 6.71]", "–", limit, "**FAIL**"]
    open_slices = "label: networkx, section: guide, length_bucket: 10 to 19 words and 1 more"
    message = f"**FAIL**: 6 of 10 hold, not {open_slices}"
    assert find_row(text, "slices accuracy") == ["slices accuracy", "6,000", "–", "–", "–", "5", message]


def test_slices_that_all_hold_are_one_line() -> None:
    comment = format_pr_comment([of_predictions(with_slices(Verdict.PASS, Verdict.PASS))])
    assert find_row(comment, "slices accuracy")[-1] == "PASS: all 2 hold"


def test_a_slice_with_a_budget_of_its_own_has_its_figures() -> None:
    kind = make_slices_kind("accuracy", "label", "l1")
    budget = BudgetFacts(kind=kind, limit=5.0, verdict=Verdict.PASS)
    comment = format_pr_comment([of_predictions(with_slices(Verdict.FAIL, Verdict.PASS, budgets=[budget]))])
    line = find_row(comment, "slices accuracy\\[label=l1\\]")
    assert line[1:] == ["100", "0.829", "0.819", "1.0 [0.0, 2.0]", "5", "PASS"]


def test_a_short_table_leaves_out_metrics_before_flips() -> None:
    student = make_sample_record().variant("student")
    names = of_predictions(student).task.sides
    assert count_lines(student) == len(student.quality) + 2
    text = format_log_table(student, names, 3)
    (cells,) = tables(text)
    assert [*cells[:1], *cells[2:]] == ["metric", "flips", "slices accuracy"]
    assert f"{len(student.quality) - 1} more; run.json has them" in text


def test_a_short_table_keeps_failures_then_all_rows() -> None:
    student = make_sample_record().variant("student")
    [facts] = [*student.quality.values()][:1]
    [budget] = facts.budgets[:1]

    def judged(verdict: Verdict, *, warns: bool = False) -> QualityFacts:
        judged_budget = replace(budget, verdict=verdict, on_inconclusive="warn" if warns else "fail")
        return facts.model_copy(update={"verdict": verdict, "budgets": [judged_budget]})

    quality = {
        "loose": facts.model_copy(update={"verdict": None, "budgets": []}),
        "acc[a]": judged(Verdict.INCONCLUSIVE, warns=True),
        "acc[b]": judged(Verdict.PASS),
        "acc": judged(Verdict.PASS),
        "acc[c]": judged(Verdict.INCONCLUSIVE),
        "acc[d]": judged(Verdict.FAIL),
    }
    model = student.model_copy(update={"quality": quality, "behaviour": None})
    slices = ("acc[a]", "acc[b]", "acc[c]", "acc[d]")

    def shown(limit: int) -> set[str]:
        [cells] = tables(format_log_table(model, of_predictions(student).task.sides, limit, slices=slices))
        return {name.replace("\\", "") for name in cells[1:]}

    assert shown(1) == {"acc[d]"}
    assert shown(2) == {"acc[d]", "acc[c]"}
    assert shown(3) == {"acc[d]", "acc[c]", "acc"}
    assert shown(6) == set(quality)


def test_many_unjudged_suites_keep_the_error_first() -> None:
    unjudged = [f"bench/{number}.toml: {'no such file ' * 60}" for number in range(120)]
    comment = format_pr_comment([make_sample_record()], unjudged=unjudged)
    assert len(comment) < LIMIT
    heading = "## slimgate: ERROR, 120 of 121 suites could not be judged"
    assert comment.startswith(f"{MARKER}\n\n{heading}")
    assert "- bench/0.toml: no such file" in comment
