"""Text from data or a suite, made harmless in markdown and visible to the reader."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TextIO

_LONGEST = 1000
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Unicode categories whose characters cannot be seen, and change a terminal, a table row or the direction of a
# text: control, format, line separator, paragraph separator, lone surrogate.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
# Format characters that stay, because emoji and words in Persian and Indic scripts need them.
_JOINERS = frozenset("\u200c\u200d")
_MARKUP = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])")
# Escaped brackets around numbers. They lose their backslashes, so that an interval is plain in the raw file.
# Brackets make a link only if `(`, `[` or `:` follows.
_NUMBERS = re.compile(r"\\\[([-\d., ]*\d)\\\](?!\(|\\\[|:)")
_AUTOLINK = re.compile(r"(?<=www)\.|:(?=//)", re.IGNORECASE)
# The sign of a reference to a person, a team, an issue or a pull request, as GitHub finds it in rendered
# markdown. A backslash or an entity does not prevent the link; a zero-width space after the sign does.
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|(?<=\bGH)-(?=\d)", re.IGNORECASE)
APART = "&#8203;"
# What `escape` puts into a text, for `unescape_markdown`.
_ESCAPED = re.compile(r"\\([\\`*\[\]|~$#_=+-])|(?<=\d)\\(?=[.)])|&(amp|lt|gt|#46|#58|#8203);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "#46": ".", "#58": ":", "#8203": ""}
_LIST_OR_RULE = re.compile(r"^(?:[-+](?=[-+\s]|$)|=|\d+(?=[.)](?:\s|$)))")


def escape(text: object, *, longest: int = _LONGEST) -> str:
    """The text on one line, as a reader should see it: no markdown, no HTML and no link takes effect.

    GitHub does not notify the people that the text names, and does not link its issues. Line breaks and
    control characters are shown as Python writes them. A text of more than `longest` characters is cut, and
    says so. The result is safe in a table's cell, a list item and a heading, but not inside a code span.
    """
    shown = _cut_text(escape_invisible(str(text).strip()), longest)
    marked = _MARKUP.sub(lambda match: "\\" + match.group(), shown)
    marked = _NUMBERS.sub(r"[\1]", marked)
    plain = escape_references("".join(_HTML.get(character, character) for character in marked))
    unlinked = _AUTOLINK.sub(lambda match: f"&#{ord(match.group())};", plain)
    return _LIST_OR_RULE.sub(_escape_start, unlinked)


def unescape_markdown(markdown: str) -> str:
    """Markdown with escaped texts as a terminal should show it: the texts as they were, on one line each."""
    return _ESCAPED.sub(lambda match: match[1] or _ENTITIES.get(match[2], ""), markdown)


def escape_references(html: str) -> str:
    """Text of HTML or markdown whose @name and #123 notify no one and link nothing on GitHub."""
    return _REFERENCE.sub(lambda match: match.group() + APART, html)


def fence_code(text: str) -> str:
    """The text as a block of code, even if it holds back-ticks."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{escape_invisible(text)}\n{fence}"


def escape_invisible(text: str) -> str:
    """The text, in which characters that cannot be seen are Python's escapes."""
    if text.isprintable():  # nearly every text is, and a page has many thousands
        return text
    return "".join(_make_visible(character) for character in text)


def write_lines(stream: TextIO, lines: Iterable[str]) -> None:
    """Writes lines to a stream, in which characters that cannot be seen are Python's escapes."""
    stream.writelines(f"{escape_invisible(line)}\n" for line in lines)


def is_blank(text: str) -> bool:
    """Whether a text has only white space and characters that cannot be seen."""
    return all(
        character.isspace() or unicodedata.category(character) in _INVISIBLE_CATEGORIES for character in text
    )


def _make_visible(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _INVISIBLE_CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")


def cut_end(text: str, longest: int) -> str:
    """A text of at most `longest` characters; the end of a longer one is replaced by an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _cut_text(text: str, longest: int) -> str:
    excess = len(text) - longest
    return text if excess <= 0 else f"{text[:longest]} … ({excess:,} more characters)"


def _escape_start(match: re.Match[str]) -> str:
    start = match.group()
    return f"{start}\\" if start.isdigit() else f"\\{start}"
