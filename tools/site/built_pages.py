"""Checks the built pages: no page loads anything from another host, and links lead to all pages."""

from __future__ import annotations

import posixpath
import re
from collections import deque
from pathlib import Path

# Addresses that a browser loads without a click.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*?\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|(?:url\(|@import\s+)["']?((?:https?:)?//[^"')\s]+)""",
    re.IGNORECASE,
)
START = "index.html"
# Pages that need no link.
_ALONE = frozenset({"404.html"})
_HREF = re.compile(r"""<a\b[^>]*?\bhref=["']?([^"'\s>#?]+)""", re.IGNORECASE)


def list_outside_addresses(site: Path) -> list[str]:
    """`FILE: ADDRESS` for each address on another host that a page or a style sheet loads."""
    files = sorted(path for path in site.rglob("*") if path.suffix in (".html", ".css", ".svg"))
    return [
        f"{path.relative_to(site)}: {next(filter(None, match.groups()))}"
        for path in files
        for match in LOADED.finditer(path.read_text("utf-8"))
    ]


def list_unreachable_pages(site: Path) -> list[str]:
    """The pages below a folder that no chain of links from index.html leads to, by path."""
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    reached, open_pages = {START}, deque([START])
    while open_pages:
        page = open_pages.popleft()
        for link in _HREF.findall((site / page).read_text("utf-8")):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
            if target in pages and target not in reached:
                reached.add(target)
                open_pages.append(target)
    return sorted(pages - reached - _ALONE)
