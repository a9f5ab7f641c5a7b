"""Links between the markdown files of the repository lead somewhere: files are there, and so are headings."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from fixtures.reference.markdown import anchor

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "docs", "fixtures", "reports", "slimgate")
# reports/latest/ is generated, and a golden report links to plots that it has not
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))],
)
PAGES = [page for page in PAGES if "latest" not in page.relative_to(ROOT).parts]
README = (ROOT / "README.md").read_text("utf-8")


def prose(page: Path) -> str:
    """The text without blocks and spans of code."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Where the headings of a page are found; of equal ones the second has -1 behind it."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        name = anchor(re.sub(r"[\\`*]|\]\([^)]*\)", "", heading).strip())
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return frozenset(found)


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for link in re.findall(r"(?<!\\)\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        is_markdown = target.suffix == ".md" and target.is_file()
        if not target.exists() or (heading and is_markdown and heading not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_the_readme_lists_every_page_of_docs() -> None:
    listed = README.partition("\n## Docs\n")[2].partition("\n## ")[0]
    pages = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if f"]({page})" not in listed] == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n## Its part\n\n## Its part\n\n[a](#its-part) [b](#its-part-1) [c](page.md#no) "
        "[d](gone.md) "
        "`[e](code.md)` [f](https://example.org) \\[g\\](h.md)\n"
    )
    assert broken(page) == ["page.md#no", "gone.md"]
