"""Every page of the site can be reached by links from the first page."""

from __future__ import annotations

import posixpath
import re
from collections import deque
from pathlib import Path

START = "index.html"
# Pages that no link has to lead to.
_ALONE = frozenset({"404.html"})
_HREF = re.compile(r"""<a\b[^>]*?\bhref=["']?([^"'\s>#?]+)""", re.IGNORECASE)


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
