"""Tables and lists in GitHub's markdown. The caller escapes the cells.

Texts of limited length leave out whole rows, and say how many.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tabulate import tabulate

from slimgate._system.escape import escape_invisible, escape_references
from slimgate._system.number_text import MISSING, format_int

# The most characters of the note on pieces that are left out.
_NOTE = 400


@dataclass(frozen=True)
class Piece:
    """A part of the text. render(k): its text with the first k of `rows` rows; name: what its rows are.

    A piece of one row is whole or absent. max_rows: the most rows, even with more room.
    """

    name: str
    rows: int
    render: Callable[[int], str]
    max_rows: int | None = None


def make_uncut_piece(name: str, text: str) -> Piece:
    """A piece that is never cut."""
    return Piece(name, 1 if text else 0, lambda rows: text if rows else "")


def fit_pieces(pieces: Sequence[Piece], limit: int, *, end: str = "") -> str:
    """The pieces with a blank line between them, followed by `end`, in at most `limit` characters.

    Earlier pieces go before later ones. A note says which parts only the report has.
    """
    room = limit - len(end) - _NOTE
    shown: list[str] = []
    left_out: list[str] = []
    for piece in pieces:
        if not piece.rows:
            continue
        text = _shorten(piece, room - 2)
        if text is None:
            left_out.append(piece.name)
            continue
        shown.append(text)
        room -= len(text) + 2
    if left_out:
        names = ", ".join(left_out)
        names = names if len(names) < _NOTE // 2 else f"{format_int(len(left_out))} sections"
        shown.append(f"Left out for lack of space: {names}. The report has all.")
    return "\n\n".join(part for part in [*shown, end] if part) + "\n"


def _shorten(piece: Piece, room: int) -> str | None:
    """The piece with as many rows as there is room for; None if there is room for none."""
    row_limit = piece.rows if piece.max_rows is None else min(piece.rows, piece.max_rows)
    if row_limit == piece.rows and len(text := piece.render(row_limit)) <= room:
        return text

    def with_note(rows: int) -> str:
        rest = f"… and {format_int(piece.rows - rows)} more {piece.name} in the report."
        return f"{piece.render(rows)}\n\n{rest}"

    # the text grows with every row, so a bisection finds the most rows that fit
    row_limit = min(row_limit, piece.rows - 1)
    rows = bisect_right(range(1, row_limit + 1), room, key=lambda rows: len(with_note(rows)))
    return with_note(rows) if rows else None


@dataclass(frozen=True)
class Column:
    """One column: its head, and its cells from top to bottom. Numbers are right-aligned."""

    head: str
    cells: Sequence[str]
    right: bool = False

    @property
    def is_empty(self) -> bool:
        return all(cell in ("", MISSING) for cell in self.cells)


def make_pipe_table(columns: Sequence[Column]) -> str:
    """A pipe table; empty text if there are no rows."""
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


def remove_empty_columns(columns: Iterable[Column]) -> list[Column]:
    """The columns that have a figure in any cell."""
    return [column for column in columns if not column.is_empty]


def format_bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def blocks(*parts: str) -> str:
    """Parts with a blank line between them, without those that are empty."""
    return "\n\n".join(part for part in parts if part)


def fold(name: str, rest: str, text: str) -> str:
    """The text in a fold with `name` in bold print and the rest as its line: GitHub needs the blank lines.

    Both are plain texts: a summary is HTML, in which markdown would show its backslashes.
    """
    name, rest = (escape_references(escape(escape_invisible(part), quote=False)) for part in (name, rest))
    summary = f"<b>{name}</b>{rest}" if name else rest
    return blocks(f"<details><summary>{summary}</summary>", text, "</details>")


def add_heading(heading: str, text: str) -> str:
    """The text under its heading; empty if there is no text."""
    return blocks(heading, text) if text else ""
