"""Hooks of `mkdocs build`: pages made from the code, pages from outside docs/, plots, the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from slimgate.cli.schema import KINDS, make_schema
from slimgate.suite.schema import SITE
from tools.reference import reference
from tools.site.api import api_page
from tools.site.links import ROOT, linked_files, repository_pages, rewrite_links, source_page
from tools.site.outside import outside_addresses
from tools.site.plots import plots

_pages: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and files that are not in docs/."""
    for page, text in generate_pages():
        files.append(File.generated(config, page, content=text))
    of_docs = {f"docs/{file.src_uri}": file.src_uri for file in files.documentation_pages()}
    of_repository = repository_pages()
    sources = linked_files({**of_docs, **of_repository})
    for path, page in of_repository.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    for path, page in sources.items():
        files.append(File.generated(config, page, content=source_page(path)))
    _pages.clear()
    _pages.update({**of_docs, **of_repository, **sources})
    return files


def generate_pages() -> Iterator[tuple[str, str | bytes]]:
    """(path on the site, text) of what the code makes."""
    yield from ((f"reference/{name}", text) for name, text in reference().items())
    yield "reference/python.md", api_page()
    for schema in map(make_schema, KINDS):
        yield schema["$id"].removeprefix(SITE), json.dumps(schema, indent=1) + "\n"
    yield from plots()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Links to files of the repository lead to the pages that show them; search finds the guides first."""
    uri = page.file.src_uri
    page.meta["search"] = search_rank(uri)
    [path] = [path for path, shown in _pages.items() if shown == uri]
    return (
        markdown if uri.startswith("source/") else rewrite_links(markdown, path=path, page=uri, pages=_pages)
    )


def search_rank(page: str) -> dict[str, object]:
    """What the search is told of a page: reports come after all others, source files are left out."""
    return (
        {"exclude": True}
        if page.startswith("source/")
        else {"boost": 0.1 if page.startswith("reports/") else 1}
    )


def on_post_build(config: MkDocsConfig) -> None:
    """Raises PluginError for a page that loads something from another host."""
    if addresses := outside_addresses(Path(config.site_dir)):
        raise PluginError("the site loads from other hosts:\n" + "\n".join(addresses[:20]))
