"""A fold of the report, and times as people read them."""

from __future__ import annotations

import pytest

from slimgate._system.timestamps import format_moment
from slimgate.report.tables import fold


def test_a_summary_is_harmless_html() -> None:
    assert fold("<i>", " & more", "x").startswith(
        "<details><summary><b>&lt;i&gt;</b> &amp; more</summary>\n\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-20T08:15:40Z", "2026-11-20 08:15 UTC"),
        ("2026-11-20T09:15:40+01:00", "2026-11-20 08:15 UTC"),
        ("2026-11-20T08:15", "2026-11-20 08:15"),
        ("now|", "now\\|"),
        ("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+05:00"),
    ],
    ids=["utc", "another zone", "no zone", "no time", "before the year 1"],
)
def test_a_time_is_written_for_people(text: str, shown: str) -> None:
    assert format_moment(text) == shown
