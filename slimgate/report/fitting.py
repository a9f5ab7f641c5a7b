"""A text that may not be longer than so many characters: rows are left out whole, and it says how many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slimgate.report.figures import count

# What the note on pieces that are left out may take.
_NOTE = 400


@dataclass(frozen=True)
class Piece:
    """A part of the text. render(k): with its first k of `rows` rows; name: what its rows are, in words.

    A piece of one row is there whole or not at all.
    """

    name: str
    rows: int
    render: Callable[[int], str]


def whole(name: str, text: str) -> Piece:
    """A piece that is never cut."""
    return Piece(name, 1 if text else 0, lambda rows: text if rows else "")


def fitted(pieces: Sequence[Piece], limit: int, *, end: str = "", elsewhere: str = "the report") -> str:
    """The pieces with a blank line between them, in at most `limit` characters, and `end` behind them.

    What comes first goes before what comes later. elsewhere: where a reader finds what is left out.
    """
    room = limit - len(end) - _NOTE
    shown: list[str] = []
    left_out: list[str] = []
    for piece in pieces:
        if not piece.rows:
            continue
        text = _shortened(piece, room - 2, elsewhere)
        if text is None:
            left_out.append(piece.name)
            continue
        shown.append(text)
        room -= len(text) + 2
    if left_out:
        names = ", ".join(left_out)
        names = names if len(names) < _NOTE // 2 else f"{count(len(left_out))} sections"
        shown.append(f"Left out for want of room: {names}. {elsewhere} has all.".replace(". the", ". The"))
    return "\n\n".join(part for part in [*shown, end] if part) + "\n"


def _shortened(piece: Piece, room: int, elsewhere: str) -> str | None:
    """With as many rows as there is room for; None where there is room for none."""
    text = piece.render(piece.rows)
    if len(text) <= room:
        return text

    def with_note(rows: int) -> str:
        rest = f"… and {count(piece.rows - rows)} more {piece.name} in {elsewhere}."
        return f"{piece.render(rows)}\n\n{rest}"

    # longer by every row, so the last that fits is found by halving
    rows = bisect_right(range(1, piece.rows), room, key=lambda rows: len(with_note(rows)))
    return with_note(rows) if rows else None
