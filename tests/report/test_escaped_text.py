"""Text of data and suites in report.md: it is escaped, mentions nobody and leaves the tables whole."""

from __future__ import annotations

import re
from html import escape as escape_html
from html import unescape

import pytest
from support.report_sections import NASTY, read_raw_tables, read_rendered_tables, render_report
from support.sample_record import PASS, make_quality, make_sample_record, make_variant

from slimgate._system.escape import cut_end, escape, escape_invisible, is_blank, unescape_markdown
from slimgate.record.run import AnswerFacts, FollowedRow, RowShapes, RunRecord, TensorFacts
from slimgate.record.task import SplitFacts, SuiteFacts
from slimgate.report import format_index_report, format_suite_report
from slimgate.report.pr_comment import format_pr_comment


def test_a_long_text_loses_its_end_and_shows_that() -> None:
    assert cut_end("seven", 5) == "seven"
    assert cut_end("sevens", 5) == "seve…"


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("place", ["| a |\n|---|\n| {} |", "- {}", "- x: {}", "# {}", "[{}](y)"])
def test_escaped_text_reads_as_written_and_stays_inert(text: str, place: str) -> None:
    shown = escape_html(escape_invisible(text.strip()), quote=False).replace('"', "&quot;")
    html, plain = render_report(place.format(escape(text))), render_report(place.format("SAFE"))
    read = html.replace("\u200b", "")  # nothing to see: it stands behind what GitHub would link
    assert re.sub(r"\s", "", read) == re.sub(r"\s", "", plain.replace("SAFE", shown))


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_a_terminal_shows_escaped_text_as_it_was(text: str) -> None:
    assert unescape_markdown(escape(text, longest=10**6)) == escape_invisible(text.strip())


# As GitHub looks for them in the text that it has rendered.
REFERENCE = re.compile(r"(?<!\w)@[a-z\d]|\w@[\da-f]{7}|#\d|\bgh-\d", re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    ["@octocat", "thanks @octo-org/team, see", "#123", "fixes octo/hello#7", "GH-45", "gh-45", "a@1234567"],
)
def test_text_of_data_calls_nobody_and_links_no_issue(text: str) -> None:
    assert REFERENCE.search(render_report(text))
    page = render_report(f"| a |\n|---|\n| {escape(text)} |")
    assert not REFERENCE.search(page)
    assert page.replace("\u200b", "") == render_report("| a |\n|---|\n| SAFE |").replace("SAFE", text)


def test_escaped_text_has_no_line_break_and_no_control_character() -> None:
    shown = escape("".join(map(chr, range(160))) + "\u2028\u2029\u202e")
    assert shown.isprintable()
    assert r"\\x1b" in shown


def test_brackets_and_names_stay_readable_in_the_raw_file() -> None:
    text = "int8: f1_macro 0.884, drop 2.7 points [1.8, 3.8], budget 1.0 (n=872): FAIL"
    assert escape(text) == text
    assert escape("3.11.14") == "3.11.14"


def test_very_long_text_is_cut_and_says_so() -> None:
    assert escape("x" * 1500).endswith("x … (500 more characters)")


def record_of(text: str) -> RunRecord:
    """A record in which everything that may come from data or a suite is this text."""
    sample = make_sample_record()
    facts = make_quality("x", "accuracy", 0.3, (0.0, 0.6), PASS, message=text, warnings=[text])
    step = sample.variants[1].steps[1].model_copy(update={"given": {text: text}, "log": {text: [text]}})
    nasty = make_variant(
        text, gated=False, reason=text, steps=[step], quality={"accuracy": facts, text: facts}
    )
    tensor = TensorFacts(shape=[1], dtype=text, weights=text)
    shapes = RowShapes(id=text, inputs={text: [1]}, blocks=[tensor], next_tokens=[(text, 0.5)], note=text)
    nasty = nasty.model_copy(update={"shapes": shapes})
    answer = AnswerFacts(model=text, prediction=text, top=[(text, 0.5)], values={text: 0.5})
    row = FollowedRow(
        id=text, number=0, why=text, label=text, text=text, given={text: 1}, answers=[answer] * 2
    )
    gate = SplitFacts(n=2, digest=text, dropped_overlap=0, repeats=0, label_counts={text: 2})
    return sample.model_copy(
        update={
            "command": text,
            "followed": [row],
            "suite": SuiteFacts(path=text, title=text, digest=text, seeds=[]),
            "task": sample.task.model_copy(
                update={"splits": {"gate": gate}, "source": {"name": text, text: text}}
            ),
            "variants": [sample.variants[0], nasty, make_variant("y", error=text)],
            "verdict": sample.verdict.model_copy(update={"messages": [text]}),
            "machine": sample.machine.model_copy(update={"cpu": text, "libraries": {text: text}}),
        }
    )


def test_text_of_data_mentions_nobody_and_no_issue() -> None:
    record = record_of("@octocat #12")
    for report in (
        format_suite_report(record),
        format_index_report([record], ["x/report.md"]),
        format_pr_comment([record]),
    ):
        html = re.sub(r"<pre>.*?</pre>", "", render_report(report), flags=re.DOTALL)
        assert "octocat" in html
        assert not REFERENCE.search(unescape(re.sub(r"href=\"[^\"]*\"", "", html)))


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_nasty_text_anywhere_in_a_record_leaves_the_tables_whole(text: str) -> None:
    record = record_of(text)
    for report in (format_suite_report(record), format_index_report([record], ["x/report.md"])):
        report.encode("utf-8")
        assert report.replace("\n", "").isprintable()
        allowed = {
            "h1",
            "h2",
            "h3",
            "p",
            "ul",
            "li",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "strong",
            "pre",
            "code",
            "a",
            "details",
            "summary",
            "b",
        }
        assert set(re.findall(r"<([a-z0-9]+)", render_report(report))) <= allowed
        assert set(re.findall(r'href="([^"]*)"', render_report(report))) <= {
            "x/report.md",
            "#how-to-read-this",
        }
        raw, shown = read_raw_tables(report), read_rendered_tables(report)
        assert all(len(set(widths)) == 1 for widths in raw)
        assert [set(widths) for widths in raw] == [set(widths) for widths in shown]


@pytest.mark.parametrize(
    ("text", "blank"),
    [("", True), (" \u2003\u200b\n", True), ("\u2060\x07", True), ("\u200b.", False), ("\u0967", False)],
    ids=["empty", "zero width", "control", "full stop", "digit"],
)
def test_a_text_without_a_visible_character_is_blank(text: str, blank: bool) -> None:
    assert is_blank(text) is blank
