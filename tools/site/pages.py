"""Descriptions, ranks in the search and edit links of the site's pages; the navigation of the reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tools.site.links import ROOT

REPOSITORY = "https://github.com/slimgate/slimgate"
_LONGEST = 155
# Pages that rank last, because they answer few questions.
_LAST = ("reports/", "changelog.md")
_EXCLUDED = ("source/", "hostile_inputs.md", "reports/simulations/")
_FIRST = ("how_many_rows.md", "faq.md", "run.md", "judge.md", "judge_logs.md", "install.md", "own_model.md")


def choose_search_rank(page: str) -> dict[str, object]:
    """The settings of a page for the search: guides come first, reports last.

    Source files, simulations and the page of hostile inputs are left out.
    """
    if page.startswith(_EXCLUDED):
        return {"exclude": True}
    if page in _FIRST:
        return {"boost": 2}
    return {"boost": 0.1 if page.startswith(_LAST) else 1}


def describe_page(markdown: str) -> str:
    """The first paragraph of prose as plain text, cut at a sentence or a word."""
    for block in re.split(r"\n{2,}", re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)):
        text = block.strip("\n")
        if text.strip() and not re.match(r"#|\||!\[|\[!\[|<|- |\d+\. |:::|    ", text):
            return _cut_text(_strip_markup(text))
    return ""


def _strip_markup(text: str) -> str:
    linked = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`]|&lt;|&gt;|\\(?=\W)", "", linked).split())


def _cut_text(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    sentences, _, _ = text[:_LONGEST].rpartition(". ")
    return f"{sentences}." if len(sentences) > 40 else text[:_LONGEST].rpartition(" ")[0] + " …"


def edit_address(path: str) -> str | None:
    """The address to edit a file of the repository; None if the build makes the page."""
    return f"{REPOSITORY}/edit/main/{path}" if (ROOT / path).is_file() else None


def list_report_navigation(pages: Mapping[str, str]) -> list[object]:
    """The entries of the tab "Results" for all reports; simulations are a section of their own.

    pages: path in the repository -> page of the site.
    """
    entries = sorted((page, path) for path, page in pages.items() if page.startswith("reports/"))
    titled = list(_read_titles(entries))
    simulations = [{title: page} for title, page in titled if "/simulations/" in page]
    simulations.sort(key=lambda entry: "README" not in str(entry))
    reports: list[object] = [{title: page} for title, page in titled if "/simulations/" not in page]
    return [*reports, {"Simulations": simulations}]


def _read_titles(entries: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for page, path in entries:
        heading = re.search(r"^# (.+)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
        yield (heading[1] if heading else page), page
