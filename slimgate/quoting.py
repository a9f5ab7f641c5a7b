"""Texts of gate rows as a record may quote them: short, on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimgate.protocols import Rows

# A record is passed around: it shows what a row is about, and never a whole document.
LONGEST = 160
BETWEEN = " | "


def quoted_texts(rows: Rows, text_columns: Sequence[str], positions: Iterable[int]) -> list[str]:
    """The text of each of the rows, at most 160 characters; of a pair, as much of either."""
    columns = [rows.table[name] for name in text_columns]
    room = (LONGEST - len(BETWEEN) * (len(columns) - 1)) // len(columns)
    return [
        BETWEEN.join(shortened(str(column[int(row)].as_py() or ""), room) for column in columns)
        for row in positions
    ]


def shortened(text: str, longest: int) -> str:
    """White space collapsed; cut, with an ellipsis, where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
