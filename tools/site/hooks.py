"""Hooks of `mkdocs build`: pages made from the code, pages from outside docs/, plots, the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import slimgate
from slimgate.cli.schema import KINDS, make_schema
from slimgate.suite.schema import SITE
from tools.reference import make_reference
from tools.site.api import make_api_pages
from tools.site.built_pages import list_outside_addresses, list_unreachable_pages
from tools.site.gallery import list_gallery_files
from tools.site.links import ROOT, list_linked_files, list_repository_pages, make_source_page, rewrite_links
from tools.site.pages import choose_search_rank, describe_page, edit_address, list_report_navigation
from tools.site.plots import draw_plots

_pages: dict[str, str] = {}
HOME = "A budget gate for compressed language models"
_EMPTY_HEADER = re.compile(r"<th([^>]*)></th>")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the version, and every report to the tab "Results"."""
    config.extra["version_shown"] = f"version {slimgate.__version__}"
    config.copyright = f"slimgate {slimgate.__version__}, Apache-2.0"
    [results] = [tab["Results"] for tab in config.nav or () if "Results" in tab]
    results += list_report_navigation(list_repository_pages())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and files that are not in docs/."""
    for page, text in generate_pages():
        files.append(File.generated(config, page, content=text))
    of_docs = {f"docs/{file.src_uri}": file.src_uri for file in files.documentation_pages()}
    of_repository = list_repository_pages()
    sources = list_linked_files({**of_docs, **of_repository})
    for path, page in of_repository.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    for path, page in sources.items():
        files.append(File.generated(config, page, content=make_source_page(path)))
    _pages.clear()
    _pages.update({**of_docs, **of_repository, **sources})
    return files


def generate_pages() -> Iterator[tuple[str, str | bytes]]:
    """(path on the site, content) of each page and file that the code makes."""
    yield from ((f"reference/{name}", text) for name, text in make_reference().items())
    yield from make_api_pages().items()
    for schema in map(make_schema, KINDS):
        yield schema["$id"].removeprefix(SITE), json.dumps(schema, indent=1) + "\n"
    yield from draw_plots()
    yield from list_gallery_files()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Changes links to files into links to the pages that show them, and sets the rank in the search."""
    uri = page.file.src_uri
    [path] = [path for path, shown in _pages.items() if shown == uri]
    page.meta["search"] = choose_search_rank(uri)
    page.meta.setdefault("description", describe_page(markdown))
    page.edit_url = edit_address(path)
    if uri == "index.md":
        page.meta["title"] = HOME
    return (
        markdown if uri.startswith("source/") else rewrite_links(markdown, path=path, page=uri, pages=_pages)
    )


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Replaces empty header cells by normal cells, which screen readers do not announce as headings."""
    return _EMPTY_HEADER.sub(r"<td\1></td>", html)


def on_post_build(config: MkDocsConfig) -> None:
    """Raises PluginError for a page that loads something from another host, or that no link leads to."""
    site = Path(config.site_dir)
    if addresses := list_outside_addresses(site):
        raise PluginError("the site loads from other hosts:\n" + "\n".join(addresses[:20]))
    if pages := list_unreachable_pages(site):
        raise PluginError("no link leads to these pages:\n" + "\n".join(pages[:20]))
