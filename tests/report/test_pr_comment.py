"""pr-comment.md: failing variants first, in fewer characters than GitHub takes, and tables whole."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from support.sample_record import quality, sample_record, variant

from slimgate.record.run import RunRecord
from slimgate.record.verdicts import BaselineFacts, LoosenedBudget, RunVerdict, Weakening
from slimgate.report.pr_comment import LIMIT, MARKER, pr_comment, weaker_comment
from slimgate.results.base import Verdict

pytestmark = pytest.mark.slow


def many(count: int) -> RunRecord:
    """So many variants, each with a message; the last one fails."""
    models = [
        variant(
            f"variant-{n}",
            quality={
                "accuracy": quality(
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
    record = sample_record()
    messages = [f"variant-{n}: does not hold, {'very ' * 60}much" for n in range(count)]
    found = RunVerdict(status="FAIL", passed=0, failed=count, inconclusive=0, not_gated=0, messages=messages)
    return sample_record(variants=[record.variants[0], *models], verdict=found)


def tables(text: str) -> list[list[str]]:
    """The cells of the first column of each table, as GitHub would render it."""
    found: list[list[str]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        if token.type == "tr_open" and tokens[place + 1].type in ("td_open", "th_open"):
            found[-1].append(tokens[place + 2].content)
    return found


def test_the_first_line_is_the_marker_and_the_verdict_follows() -> None:
    lines = pr_comment([sample_record()]).splitlines()
    assert lines[0] == MARKER
    assert lines[2].startswith("## slimgate: ")
    assert lines[4].startswith("**FAIL** · ")


def test_failing_variants_come_first_and_the_teacher_last() -> None:
    record = sample_record()
    (cells,) = tables(pr_comment([record]))
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
    record = sample_record()
    text = pr_comment([record])
    start = text.index("**What does not hold**")
    listed = text[start : text.index("\n\n**What was not built", start)].splitlines()[2:]
    assert len(listed) == len(record.verdict.messages) - 1  # the error of `released` is said once, below it
    assert text.count("its labels do not fit the data") == 1
    assert f"```\n{record.command}\n```" in text


def test_details_are_folded_and_closed() -> None:
    text = pr_comment([sample_record()])
    assert text.count("<details>") == text.count("</details>") == 1
    assert re.search(r"<details><summary>[^\n]+</summary>\n\n", text)


@pytest.mark.parametrize("count", [3, 200, 2000])
def test_it_is_short_enough_and_says_what_it_left_out(count: int) -> None:
    text = pr_comment([many(count)])
    assert len(text) < LIMIT
    assert text.count("<details>") == text.count("</details>")
    assert "How to reproduce:" in text
    shown = sum(line.startswith("- variant-") and "does not hold, very" in line for line in text.splitlines())
    left = f"… and {count - shown:,} more budgets that do not hold in the report."
    assert (left in text) is (shown < count)
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|"), line
    assert shown == count or count > 3


def test_with_little_room_the_failing_variant_is_the_last_to_go() -> None:
    found = many(400)
    quiet = found.verdict.model_copy(update={"messages": []})
    text = pr_comment([found.model_copy(update={"verdict": quiet})], limit=8_000)
    assert len(text) < 8_000
    (cells,) = tables(text)
    assert cells[1] == "variant-399"
    assert cells[-1] == "teacher"
    assert re.search(r"… and \d+ more variants in the report\.", text)


def test_a_loosened_budget_is_told() -> None:
    loosened = LoosenedBudget(
        variant="int8", budget="accuracy", kind="drop_points", before=1.0, limit=2.0, reason="new data"
    )
    baseline = BaselineFacts(path="b.json", created="2026-11-01", loosened=[loosened])
    assert "**Loosened**: int8, accuracy had drop" in pr_comment([sample_record(baseline=baseline)])


def test_several_suites_share_one_comment_verdicts_first() -> None:
    other = sample_record(verdict=RunVerdict(status="PASS", passed=1, failed=0, inconclusive=0, not_gated=0))
    text = pr_comment([sample_record(), other])
    assert text.count(MARKER) == 1
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == 2
    assert text.splitlines()[2:4] == [
        "- bench/library_docs.toml: **FAIL, partial**",
        "- bench/library_docs.toml: **PASS**",
    ]


def test_words_of_others_stay_words() -> None:
    record = sample_record(command="pytest bench -k '```\n<!-- slimgate:comment -->'")
    messages = ["x: <img src=x onerror=alert(1)> | `y` @everyone"]
    text = pr_comment(
        [record.model_copy(update={"verdict": record.verdict.model_copy(update={"messages": messages})})]
    )
    assert "<img" not in MarkdownIt("commonmark").render(text)
    assert text.splitlines().count(MARKER) == 1


@pytest.mark.parametrize("record", [sample_record(), many(200)], ids=["sample", "200 variants fail"])
def test_it_has_at_most_60_lines(record: RunRecord) -> None:
    assert len(pr_comment([record]).splitlines()) <= 60


def test_gated_variants_that_went_since_the_baseline_are_told() -> None:
    baseline = BaselineFacts(path="b.json", created="2026-11-01", gates_gone=["int4"])
    assert "- **Gone since the baseline**, with their budgets: int4.\n" in pr_comment(
        [sample_record(baseline=baseline)]
    )


def test_a_weaker_gate_is_the_first_line_below_the_marker() -> None:
    weaker = [
        Weakening(about="rows", change="the gate rows have changed | 9", reason=None),
        Weakening(about="variants", change="int4 is gone, with its budgets", reason="nobody ships it"),
    ]
    baseline = BaselineFacts(path="b.json", name="v1", created="2026-11-01", weaker=weaker)
    lines = pr_comment([sample_record(baseline=baseline)]).splitlines()
    assert lines[0] == MARKER
    assert lines[2] == "**The gate demands less than the baseline v1**: 2 changes, 1 without a reason"
    assert lines[4] == "- the gate rows have changed \\| 9 (no reason)"
    assert lines[5] == "- int4 is gone, with its budgets (nobody ships it)"
    alone = weaker_comment("the | suite", "the baseline v1", weaker).splitlines()
    assert (alone[0], alone[2]) == (MARKER, lines[2])
    assert "Nothing was built or judged." in alone[-1]
