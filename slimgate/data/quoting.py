"""Texts of gate rows as a record may quote them: short, on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimgate._system.escape import cut_end
from slimgate.data.parts import collapse_text
from slimgate.plugins.rows import Rows

# The most characters of a quote. A record is shared, so it shows the topic of a row, and no whole document.
LONGEST_QUOTE = 160
_SEPARATOR = " | "


def quote_row_texts(rows: Rows, text_columns: Sequence[str], positions: Iterable[int]) -> list[str]:
    """The text of each row at `positions`, in at most LONGEST_QUOTE characters.

    Each text of a pair gets half of the characters, and what the other text does not need.
    """
    columns = [rows.table[name] for name in text_columns]
    return [
        _join_shortened([_format_quoted_value(column[int(row)].as_py()) for column in columns])
        for row in positions
    ]


def _format_quoted_value(value: object) -> str:
    """The text of a value; for chat messages, the text of each message."""
    items = value if isinstance(value, list) else []
    if items and all(isinstance(item, dict) and "content" in item for item in items):
        return collapse_text([str(message["content"] or "") for message in items])
    return collapse_text(value)


def _join_shortened(texts: Sequence[str]) -> str:
    """One line of at most LONGEST_QUOTE characters."""
    room = LONGEST_QUOTE - len(_SEPARATOR) * (len(texts) - 1)
    share = room // len(texts)
    spare = room - sum(min(len(text), share) for text in texts)  # earlier texts take from it first
    parts = []
    for text in texts:
        parts.append(shorten(text, min(len(text), share) + spare))
        spare -= max(0, len(parts[-1]) - share)
    return _SEPARATOR.join(parts)


def shorten(text: str, longest: int) -> str:
    """The text with white space collapsed; if it is too long, it is cut and ends with an ellipsis."""
    return cut_end(" ".join(text.split()), longest)
