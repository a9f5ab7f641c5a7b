"""Tables of a terminal: as wide as it is, and where they do not fit, a block a row."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from tabulate import tabulate

# Text and its style: green, red, yellow, bold as pytest's markup names them, or none.
Line = list[tuple[str, str]]
# What blocks leave out: it says nothing.
MISSING = "–"
_INDENT = "  "


def terminal_table(
    rows: Sequence[Mapping[str, str]], styles: Sequence[str], *, width: int | None = None
) -> list[Line]:
    """The rows under their heads, the last cell of each in its style; blocks where they are wider than width.

    width: None where no terminal limits it. All rows have the same keys.
    """
    lines = tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True).splitlines()
    if width is not None and max(map(len, lines), default=0) > width:
        return [line for row, style in zip(rows, styles, strict=True) for line in _block(row, style, width)]
    head, body = lines[:2], lines[2:]
    cells = [list(row.values())[-1] for row in rows]
    coloured = [_tail(*one) for one in zip(body, cells, styles, strict=True)]
    return [*([(line, "")] for line in head), *coloured]


def plain(line: Line) -> str:
    """The text alone."""
    return "".join(text for text, _ in line)


def wrapped(text: str, width: int | None, indent: str = "") -> list[Line]:
    """The text in lines of at most `width`; what follows the first is indented."""
    if width is None or len(text) <= width:
        return [[(text, "")]]
    lines = textwrap.wrap(text, max(width, 20), subsequent_indent=indent, break_on_hyphens=False)
    return [[(line, "")] for line in lines]


def _tail(line: str, cell: str, style: str) -> Line:
    whole = line.rstrip()
    start = len(whole) - len(cell)
    return [(whole[:start], ""), (whole[start:], style)]


def _block(row: Mapping[str, str], style: str, width: int) -> list[Line]:
    """`name: last cell`, and the other cells under it, each by its head."""
    (_, name), *others, (_, last) = row.items()
    if len(name) + len(last) + 2 > width:
        head: list[Line] = [*wrapped(name, width, _INDENT)]
        head += [[(plain(line), style)] for line in wrapped(_INDENT + last, width, _INDENT)]
    else:
        head = [[(f"{name}: ", ""), (last, style)]]
    told = [f"{key} {cell}" for key, cell in others if cell not in ("", MISSING)]
    return head + [line for one in told for line in wrapped(_INDENT + one, width, _INDENT * 2)]
