"""report.md on one screen: what is long stands folded below its heading."""

from __future__ import annotations

import re

from slimgate.report.tables import blocks, folded

# A reader came for these: they are folded only where they fill a screen by themselves.
_OPEN = ("## Comparison", "## Verdicts", "### Answers that changed", "### Builds by seed")
_SHORT, _SCREEN = 8, 60
_HEADINGS = re.compile(r"^(?=#{2,3} )", re.MULTILINE)


def folding(section: str) -> str:
    """A section of the report with the long parts below its headings folded; headings and pictures stay."""
    return "\n\n".join(_part(part.strip()) for part in _HEADINGS.split(section) if part.strip())


def _part(part: str) -> str:
    heading, _, body = part.partition("\n\n")
    lines = body.count("\n") + 1
    most = _SCREEN if heading in _OPEN else _SHORT
    if lines <= most or heading == "## Comparison" or "<details>" in body:
        return part
    found = body.split("\n\n")
    pictures = [block for block in found if block.startswith("![")]
    rest = [block for block in found if not block.startswith("![")]
    return blocks(heading, *pictures, folded("", _told(rest), blocks(*rest)))


def _told(found: list[str]) -> str:
    """`Show the table (7 rows)`; of a list, `Show 9 lines`."""
    tables = [block.count("\n") - 1 for block in found if block.startswith("|")]
    if not tables:
        return f"Show {sum(block.count(chr(10)) + 1 for block in found)} lines"
    rows = f"({sum(tables)} rows)"
    return f"Show the table {rows}" if len(tables) == 1 else f"Show {len(tables)} tables {rows}"
