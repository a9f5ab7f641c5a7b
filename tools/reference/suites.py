"""The table of suites in bench/README.md, made from the comments at the head of the suites.

    python -m tools.reference.suites      # writes the table again

The table has the first sentence of a suite's head comment, what the suite needs, and where its figures are:

    # Which words of a docstring are code? The authors put code in back quotes. Needs slimgate[demo,ner].
    # Figures: reports/tags.md
    #   pytest bench/tags.toml
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tools.reference.markdown import format_code, format_table

BENCH = Path(__file__).parents[2] / "bench"
HEADERS = ("suite", "question or content", "needs")
_TABLE = re.compile(rf"^\| {HEADERS[0]} \|.*?\n\n", re.DOTALL | re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.?!])\s")
_EXTRAS = re.compile(r"slimgate\[[^\]]*\]")


def make_suites_table() -> str:
    """The table of all suites of the folder bench; files that other suites extend are not in it."""
    suites = sorted(path for path in BENCH.glob("*.toml") if not path.name.startswith("_"))
    return format_table(HEADERS, [_format_row(path) for path in suites])


def update_table(readme: str) -> str:
    """The text of bench/README.md with the current table. Raises ValueError if the text has no table."""
    text, replaced = _TABLE.subn(lambda _: f"{make_suites_table()}\n\n", readme)
    if replaced != 1:
        raise ValueError(f"bench/README.md: {replaced} tables with the column {HEADERS[0]}, expected one")
    return text


def _format_row(path: Path) -> tuple[str, str, str]:
    lines = _read_head_comment(path.read_text("utf-8"))
    figures = [line.removeprefix("Figures: ") for line in lines if line.startswith("Figures: ")]
    prose = " ".join(line for line in lines if not line.startswith("Figures: "))
    description, *sentences = _SENTENCE_END.split(prose)
    needs = [sentence.removeprefix("Needs ") for sentence in sentences if sentence.startswith("Needs ")]
    links = "".join(f" ([figures](../{address}))" for address in figures)
    return format_code(path.name), f"{description.rstrip('.')}{links}", _format_needs(needs)


def _read_head_comment(suite: str) -> list[str]:
    """The lines of a suite's head comment, without commands. Raises ValueError if there are none."""
    lines = suite.split("\n[", 1)[0].splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("# ") and line[2:3] != " "]
    if not comments:
        raise ValueError(f"a suite begins with {lines!r}, expected a comment that says what it is for")
    return comments


def _format_needs(sentences: Sequence[str]) -> str:
    """What the sentences "Needs …" name, without what is in parentheses."""
    text = re.sub(r" \([^)]*\)", "", "; ".join(sentence.rstrip(".") for sentence in sentences))
    return _EXTRAS.sub(lambda extras: format_code(extras[0]), text)


if __name__ == "__main__":
    page = BENCH / "README.md"
    page.write_text(update_table(page.read_text("utf-8")), "utf-8")
