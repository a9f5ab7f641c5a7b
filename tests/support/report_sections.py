"""Reads parts of report.md, and has texts that must not change its layout (NASTY)."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

from slimgate._system.escape import escape
from slimgate.record.run import RunRecord
from slimgate.report.markdown import list_full_sections

NASTY = {
    "html": "<script>alert(1)</script> & &lt;",
    "pipe": "a|b \\| c \\",
    "newline": "one\ntwo\r\n# three",
    "back-ticks": "`code` ```fence",
    "terminal": "\x1b[31mred\x07 \x9b0m",
    "direction": "abc\u202edef \u2028 x",
    "link": "[x](http://evil.example) ![i](y) [1](z) <http://a.b>",
    "emphasis": "*a* **b** _c_ __d__ ~~e~~ f1_macro $x$",
    "bullet": "- item",
    "number": "1. item",
    "rule": "---",
    "heading": "# title #",
    "surrogate": "bad \ud800 byte",
    "reference": "[x]: http://evil.example",
}


def render_report(markdown: str) -> str:
    """The HTML of a report, with its tables."""
    html: str = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    return html


def read_raw_tables(markdown: str) -> list[list[int]]:
    """The number of cells in each row of each table, as GitHub splits it; renderers hide extra cells."""
    blocks = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("|")]
    return [[len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines] for lines in blocks]


def read_rendered_tables(markdown: str) -> list[list[int]]:
    """The number of cells of each row of each table after rendering."""
    tables = re.findall(r"<table>.*?</table>", render_report(markdown), flags=re.DOTALL)
    rows = [re.findall(r"<tr>.*?</tr>", table, flags=re.DOTALL) for table in tables]
    return [[len(re.findall(r"<t[hd]\b", row)) for row in table_rows] for table_rows in rows]


def find_section(report: str, heading: str) -> str:
    """The text below a heading, up to the next heading of any level, or in the fold of that name."""
    fold = f"<details><summary><b>{escape(heading)}</b>"
    if fold in report:
        return report.split(fold, 1)[1].split("</summary>", 1)[1].split("\n</details>\n", 1)[0]
    return re.split(r"^#+ ", report.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def format_all_sections(record: RunRecord) -> str:
    """All sections as report.html has them."""
    return "\n\n".join([*list_full_sections(record), ""])


def split_row(line: str) -> list[str]:
    """The cells of one row of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def read_table(text: str) -> list[list[str]]:
    """The cells of each row of the tables in a text, without the lines below their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    return [split_row(line) for line in lines]


def find_row(text: str, name: str) -> list[str]:
    """The cells of the only row that begins with a name."""
    [cells] = [cells for cells in read_table(text) if cells[0] == name]
    return cells


def read_row(report: str, name: str) -> list[str]:
    """The cells of a variant in the comparison table."""
    return next(cells for cells in read_table(find_section(report, "Variants")) if cells[0] == name)
