"""Published figures that the suite's author put beside ours: their own markdown, made harmless."""

from __future__ import annotations

import re

from slimgate._system.escape import visible
from slimgate.record import RunRecord
from slimgate.report.tables import titled

_HEADING = re.compile(r"^ {0,3}#{1,6}(?=\s|$)", re.MULTILINE)
_UNDERLINE = re.compile(r"^( {0,3})(=+|-+)[ \t]*$", re.MULTILINE)


def published(record: RunRecord) -> str:
    """The section; nothing where the suite names no reference."""
    text = (record.suite.reference or "").strip()
    told = "As others published them, on their machines and rows; nothing here is judged by them."
    return titled("## Published figures", f"{told}\n\n{harmless(text)}" if text else "")


def harmless(markdown: str) -> str:
    """Tables, lists and links stay; HTML, images and headings do not come alive in a report."""
    lines = [visible(line.expandtabs(4)) for line in markdown.splitlines()]
    text = "\n".join(lines).replace("<", "&lt;").replace("![", "!\\[")
    return _UNDERLINE.sub(r"\1\\\2", _HEADING.sub("####", text))
