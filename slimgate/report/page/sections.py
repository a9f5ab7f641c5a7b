"""Renders sections of report.md as HTML, so that both reports have the same words."""

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


# A fold: text of the report that the reader can open and close.
_FOLD = re.compile(r"<details><summary>(?:<b>(?P<name>[^<>]*)</b>)?(?P<rest>[^<>]*)</summary>")


def render_inline(markdown: str) -> Markup:
    """Renders one line, which may have escapes and bold print."""
    return Markup(_make_parser().renderInline(_remove_marks(markdown)))


def render_section(markdown: str) -> Markup:
    """Renders markdown blocks.

    A table gets the heading above it as its caption, heads of its rows, and a box that scrolls.
    """
    parser = _make_parser()
    tokens = list(_add_roles(list(_render_folds(parser.parse(_remove_marks(markdown))))))
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _remove_marks(markdown: str) -> str:
    """Removes the marks that keep GitHub from mentioning people. An HTML file does not mention people."""
    return markdown.replace(APART, "")


@cache
def _make_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # The page is one file, so it must not load a picture from elsewhere.
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _render_folds(tokens: Sequence[Token]) -> Iterator[Token]:
    """Renders the folds of the report as HTML, and no other HTML. A summary has only bold print."""
    folds = {place: fold for place, token in enumerate(tokens) if (fold := _render_fold(token)) is not None}
    for place, token in enumerate(tokens):
        if place in folds:
            yield _make_html_token(folds[place])
        elif place + 1 not in folds and place - 1 not in folds:  # else the paragraph around a fold
            yield token


def _render_fold(token: Token) -> str | None:
    if token.type != "inline":
        return None
    if match := _FOLD.fullmatch(token.content):
        name = f"<b>{match['name']}</b>" if match["name"] else ""
        return f'<details class="more"><summary>{name}{match["rest"]}</summary>'
    return token.content if token.content == "</details>" else None


def _add_roles(tokens: Sequence[Token]) -> Iterator[Token]:
    """Adds to tables what screen readers need: a caption, heads of rows, a region that scrolls."""
    heading = "table"
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = "".join(child.content for child in tokens[place + 1].children or [])
        if token.type in ("th_open", "td_open", "td_close"):
            _mark_cell(tokens, place)
        if token.type == "table_open":
            name = escape(heading)
            yield _make_html_token(f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">')
            yield token
            yield _make_html_token(f'<caption class="unseen">{name}</caption>')
        else:
            yield token
        if token.type == "table_close":
            yield _make_html_token("</div>")


def _mark_cell(tokens: Sequence[Token], place: int) -> None:
    """Makes the first cell of a row its head, and gives cells aligned to the right the class "number"."""
    token = tokens[place]
    # The page's content security policy blocks style attributes.
    if "right" in str(token.attrs.pop("style", "")):
        token.attrSet("class", "number")
    opening = place - 2 if token.type == "td_close" else place
    if token.type == "th_open":
        token.attrSet("scope", "col")
    elif tokens[opening - 1].type == "tr_open":
        token.tag = "th"
        if token.type == "td_open":
            token.attrSet("scope", "row")


def _make_html_token(text: str) -> Token:
    from markdown_it.token import Token

    return Token("html_block", "", 0, content=f"{text}\n")
