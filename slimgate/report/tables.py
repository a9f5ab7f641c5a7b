"""Tables and lists in GitHub's markdown. Cells come in escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tabulate import tabulate

from slimgate._system.escape import visible, without_references


@dataclass(frozen=True)
class Column:
    """One column: its head, and its cells from top to bottom. Numbers stand right."""

    head: str
    cells: Sequence[str]
    right: bool = False

    @property
    def empty(self) -> bool:
        return all(cell in ("", "–") for cell in self.cells)


def table(columns: Sequence[Column]) -> str:
    """A pipe table; empty text where there are no rows."""
    rows = list(zip(*(column.cells for column in columns), strict=True))
    if not rows:
        return ""
    return tabulate(
        rows,
        headers=[column.head for column in columns],
        tablefmt="pipe",
        colalign=["right" if column.right else "left" for column in columns],
        disable_numparse=True,
    )


def without_empty(columns: Iterable[Column]) -> list[Column]:
    """The columns that say something: a row of dashes from top to bottom tells a reader nothing."""
    return [column for column in columns if not column.empty]


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def blocks(*parts: str) -> str:
    """Parts with a blank line between them, without those that are empty."""
    return "\n\n".join(part for part in parts if part)


def folded(name: str, rest: str, text: str) -> str:
    """The text behind one line, `name` in bold print and the rest: GitHub wants the blank lines.

    Both are plain texts: a summary is HTML, in which markdown would show its backslashes.
    """
    name, rest = (without_references(escape(visible(part), quote=False)) for part in (name, rest))
    summary = f"<b>{name}</b>{rest}" if name else rest
    return blocks(f"<details><summary>{summary}</summary>", text, "</details>")


def titled(heading: str, text: str) -> str:
    """The text under its heading; nothing where there is no text."""
    return blocks(heading, text) if text else ""
