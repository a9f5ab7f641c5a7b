"""Published figures in the report: the author's markdown stays a table, and nothing in it comes alive."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from support.sample_record import make_sample_record

from slimgate.record.run import RunRecord, format_record_json, read_record
from slimgate.report import format_suite_report
from slimgate.report.trust import make_harmless

TABLE = "| model | F1 |\n|:--|--:|\n| teacher | 0.878 |"


def with_reference(text: str | None) -> RunRecord:
    record = make_sample_record()
    return make_sample_record(suite=record.suite.model_copy(update={"reference": text}))


def rendered(markdown: str) -> str:
    html: str = MarkdownIt("commonmark").enable("table").render(markdown)
    return html


def test_published_figures_are_after_our_own() -> None:
    report = format_suite_report(with_reference(TABLE))
    assert TABLE in report
    assert report.index("## Variants\n") < report.index("<b>Published figures</b>")
    assert '<td style="text-align:right">0.878</td>' in rendered(report)


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_a_suite_without_figures_has_no_such_section(text: str | None) -> None:
    assert format_suite_report(with_reference(text)) == format_suite_report(make_sample_record())


def test_the_figures_travel_in_the_record(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(format_record_json(with_reference(TABLE)), "utf-8")
    assert read_record(path).suite.reference == TABLE


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("![x](http://evil.example/x.png)", "<img"),
        ("<img src=x>", "<img"),
        ("Verdict\n===", "<h1"),
        ("Verdict\n---", "<h2"),
        ("# Verdict", "<h1"),
        ("  ## Verdict", "<h2"),
        ("a\x1b[31mb", "\x1b"),
    ],
)
def test_no_text_of_a_published_table_becomes_html(text: str, tag: str) -> None:
    assert tag not in rendered(make_harmless(text))


def test_tables_lists_links_and_arithmetic_signs_stay() -> None:
    html = rendered(make_harmless(f"[paper](https://a.example) 1 < 2\n\n- one\n- two\n\n{TABLE}"))
    for tag in ('<a href="https://a.example">', "1 &lt; 2", "<li>one</li>", "<table>"):
        assert tag in html
