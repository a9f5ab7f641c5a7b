"""Sections of report.md as HTML, so that both reports say the same in the same words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

from slimgate._system.escape import APART

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


_FOLD = re.compile(r"<details><summary>(?:<b>(?P<name>[^<>]*)</b>)?(?P<rest>[^<>]*)</summary>")


def inline(markdown: str) -> Markup:
    """One line: escapes and bold print."""
    return Markup(_parser().renderInline(_together(markdown)))


def section(markdown: str) -> Markup:
    """Blocks. Tables get a caption from the heading above, row heads, and a box that scrolls by itself."""
    parser = _parser()
    tokens = list(_accessible(list(_render_folds(parser.parse(_together(markdown))))))
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _together(markdown: str) -> str:
    """Without what keeps GitHub from calling somebody: a page of one's own calls nobody."""
    return markdown.replace(APART, "")


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # A picture would be fetched from somewhere: the page is one file.
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _render_folds(tokens: Sequence[Token]) -> Iterator[Token]:
    """The report's own folds come alive; nothing else does, and their summary holds no markup but bold."""
    folds = {place: fold for place, token in enumerate(tokens) if (fold := _fold(token)) is not None}
    for place, token in enumerate(tokens):
        if place in folds:
            yield _html(folds[place])
        elif place + 1 not in folds and place - 1 not in folds:  # its paragraph
            yield token


def _fold(token: Token) -> str | None:
    if token.type != "inline":
        return None
    if match := _FOLD.fullmatch(token.content):
        name = f"<b>{match['name']}</b>" if match["name"] else ""
        return f'<details class="more"><summary>{name}{match["rest"]}</summary>'
    return token.content if token.content == "</details>" else None


def _accessible(tokens: Sequence[Token]) -> Iterator[Token]:
    heading = "table"
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = "".join(child.content for child in tokens[place + 1].children or [])
        if token.type in ("th_open", "td_open", "td_close"):
            _cell(tokens, place)
        if token.type == "table_open":
            name = escape(heading)
            yield _html(f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">')
            yield token
            yield _html(f'<caption class="unseen">{name}</caption>')
        else:
            yield token
        if token.type == "table_close":
            yield _html("</div>")


def _cell(tokens: Sequence[Token], place: int) -> None:
    """The first cell of a row is its head."""
    token = tokens[place]
    # A style attribute would be stopped by the page's own policy of contents.
    if "right" in str(token.attrs.pop("style", "")):
        token.attrSet("class", "number")
    opening = place - 2 if token.type == "td_close" else place
    if token.type == "th_open":
        token.attrSet("scope", "col")
    elif tokens[opening - 1].type == "tr_open":
        token.tag = "th"
        if token.type == "td_open":
            token.attrSet("scope", "row")


def _html(text: str) -> Token:
    from markdown_it.token import Token

    return Token("html_block", "", 0, content=f"{text}\n")
