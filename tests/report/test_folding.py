"""What is long is folded below its heading; what a reader came for stays open."""

from __future__ import annotations

import pytest

from slimgate.record.words import moment
from slimgate.report.tables import folded, folding

TABLE = "\n".join(["| a |", "|:--|", *(f"| {k} |" for k in range(12))])


def test_a_long_part_is_folded_and_its_heading_and_picture_are_not() -> None:
    text = folding(f"## Behaviour\n\n### Confusion\n\n![confusion](c.svg)\n\nTold.\n\n{TABLE}")
    head, _, rest = text.partition("<details>")
    assert head == "## Behaviour\n\n### Confusion\n\n![confusion](c.svg)\n\n"
    assert rest == f"<summary>Show the table (12 rows)</summary>\n\nTold.\n\n{TABLE}\n\n</details>"


@pytest.mark.parametrize(
    "text",
    [
        "## Data\n\nThree rows.",
        f"## Comparison\n\n{TABLE}",
        f"## Verdicts\n\n{TABLE}",
        f"## A\n\n<details><summary>x</summary>\n\n{TABLE}\n\n</details>",
    ],
    ids=["short", "comparison", "verdicts", "folded already"],
)
def test_what_is_short_asked_for_or_folded_already_is_left_alone(text: str) -> None:
    assert folding(text) == text


def test_a_list_says_how_many_lines_it_has() -> None:
    lines = "\n".join(f"- line {k}" for k in range(9))
    assert "<summary>Show 9 lines</summary>" in folding(f"## Notes\n\n{lines}")


def test_a_summary_is_harmless_html() -> None:
    assert folded("<i>", " & more", "x").startswith(
        "<details><summary><b>&lt;i&gt;</b> &amp; more</summary>\n\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-20T08:15:40Z", "2026-11-20 08:15 UTC"),
        ("2026-11-20T09:15:40+01:00", "2026-11-20 08:15 UTC"),
        ("2026-11-20T08:15", "2026-11-20 08:15"),
        ("now|", "now\\|"),
    ],
    ids=["utc", "another zone", "no zone", "no time"],
)
def test_a_time_is_written_for_people(text: str, shown: str) -> None:
    assert moment(text) == shown
