"""What the docs site adds to docs/: links to files, the Python API, formulas, and no request to other hosts.

The build itself is strict (`tox -e docs`): it fails for a broken link and for a page without a place.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import slimgate
from slimgate.cli.schema import KINDS, make_schema
from tools.site import links
from tools.site.api import find_home, make_api_pages, read_groups
from tools.site.built_pages import list_outside_addresses, list_unreachable_pages
from tools.site.formulas import format_math_block
from tools.site.hooks import _EMPTY_HEADER, generate_pages
from tools.site.pages import choose_search_rank, describe_page, edit_address, list_report_navigation
from tools.site.plots import PLOTS, parse_number, read_table


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose names of Python objects do not matter here."""


_Loader.add_multi_constructor("!", lambda *_: None)


@pytest.fixture(scope="module")
def files() -> dict[str, str | bytes]:
    """The pages and files that the build makes, by their path on the site."""
    return dict(generate_pages())


PAGES = {
    "README.md": "index.md",
    "docs/tune.md": "tune.md",
    "docs/reference/steps.md": "reference/steps.md",
    "reports/frontier.md": "reports/frontier.md",
    "slimgate/plugins/context.py": "source/slimgate/plugins/context.py.md",
}


@pytest.mark.parametrize(
    ("path", "page", "link", "expected"),
    [
        ("README.md", "index.md", "docs/tune.md#what-to-search", "tune.md#what-to-search"),
        ("docs/tune.md", "tune.md", "../README.md#install", "index.md#install"),
        (
            "docs/tune.md",
            "tune.md",
            "../slimgate/plugins/context.py",
            "source/slimgate/plugins/context.py.md",
        ),
        ("docs/reference/steps.md", "reference/steps.md", "../tune.md", "../tune.md"),
        ("reports/frontier.md", "reports/frontier.md", "../docs/tune.md", "../tune.md"),
        ("docs/tune.md", "tune.md", "example_record/run.json", "example_record/run.json"),
    ],
    ids=["readme", "to the readme", "to a file", "of a folder", "of a report", "beside it"],
)
def test_a_link_leads_to_the_page_that_shows_the_file(path: str, page: str, link: str, expected: str) -> None:
    assert links.rewrite_links(f"[a]({link})", path=path, page=page, pages=PAGES) == f"[a]({expected})"


def test_code_addresses_and_anchors_stay_as_they_are() -> None:
    text = "`[a](docs/tune.md)` [b](https://example.org) [c](#here)\n```text\n[d](docs/tune.md)\n```\n"
    assert links.rewrite_links(text, path="README.md", page="index.md", pages=PAGES) == text


def test_a_file_that_a_page_links_to_is_shown_with_its_text() -> None:
    linked = links.list_linked_files({"README.md": "index.md", "docs/own_step.md": "own_step.md"})
    assert linked["slimgate/plugins/context.py"] == "source/slimgate/plugins/context.py.md"
    assert "class BuildContext:" in links.make_source_page("slimgate/plugins/context.py")
    assert "````python\n" in links.make_source_page("slimgate/plugins/context.py")


def test_the_readme_is_the_first_page_and_reports_are_pages() -> None:
    pages = links.list_repository_pages()
    assert pages["README.md"] == "index.md"
    assert pages["reports/simulations/README.md"] == "reports/simulations/README.md"


def test_every_exported_name_is_on_the_page_of_the_python_api() -> None:
    named = [name for names in read_groups().values() for name in names]
    assert sorted(named) == sorted(slimgate.HOMES)
    text = "".join(make_api_pages().values())
    assert "::: slimgate.plugins.step.Step\n" in text
    assert "::: slimgate.tasks.text_classification.Params\n    options:\n      heading: Text" in text
    for name in named:
        [page] = [page for page, content in make_api_pages().items() if f"      heading: {name}\n" in content]
        link = f"({page.removeprefix('reference/')}#{find_home(name)})"
        assert f"[`{name}`]{link}" in make_api_pages()["reference/python.md"]


def test_a_formula_is_mathml() -> None:
    shown = format_math_block(r"\frac{b - c}{n}", "math")
    assert "<mfrac>" in shown
    assert "\\frac" not in shown


@pytest.mark.parametrize(
    "loaded",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/b.css">',
        "<style>@import url(https://example.org/c.css)</style>",
        '<img alt="x" src=https://example.org/d.png>',
    ],
    ids=["script", "style sheet", "import", "picture"],
)
def test_what_loads_from_another_host_is_found(tmp_path: Path, loaded: str) -> None:
    (tmp_path / "page.html").write_text(f'<a href="https://example.org">a link may</a>{loaded}')
    [address] = list_outside_addresses(tmp_path)
    assert address.startswith("page.html: ")
    assert "example.org" in address


def test_a_page_with_links_alone_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<a href="https://example.org">a</a><img src="b.svg">')
    assert list_outside_addresses(tmp_path) == []


def test_every_plot_has_a_light_and_a_dark_picture_on_a_page(files: dict[str, str | bytes]) -> None:
    drawn = {path: picture for path, picture in files.items() if isinstance(picture, bytes)}
    documents = (
        *("docs/statistics.md", "docs/comparison.md"),
        *("reports/frontier.md", "reports/gguf.md", "reports/cost_growth.md"),
    )
    pages = "".join((links.ROOT / name).read_text("utf-8") for name in documents)
    assert list(drawn) == [f"plots/{name}-{scheme}.svg" for name in PLOTS for scheme in ("light", "dark")]
    for name, svg in drawn.items():
        scheme = name.removesuffix(".svg").rpartition("-")[2]
        assert re.search(rf"\]\((\.\./docs/)?{name}#only-{scheme}\)", pages)
        assert (b"#24292f" in svg, b"#d7dae0" in svg) == (scheme == "light", scheme == "dark")


def test_the_site_has_the_reference_and_each_schema_at_its_id(files: dict[str, str | bytes]) -> None:
    site = yaml.load((links.ROOT / "mkdocs.yml").read_text("utf-8"), yaml.BaseLoader)["site_url"]
    for kind in KINDS:
        schema = make_schema(kind)
        assert json.loads(files[schema["$id"].removeprefix(site)]) == schema
    assert {"reference/README.md", "reference/steps.md", "reference/python.md"} <= set(files)


def test_search_finds_guides_before_reports_and_no_source_files() -> None:
    guide, report = choose_search_rank("tune.md"), choose_search_rank("reports/frontier.md")
    assert float(str(guide["boost"])) > float(str(report["boost"]))
    for page in (
        "source/slimgate/plugins/context.py.md",
        "hostile_inputs.md",
        "reports/simulations/plans.md",
    ):
        assert choose_search_rank(page) == {"exclude": True}
    assert float(str(choose_search_rank("how_many_rows.md")["boost"])) > float(str(guide["boost"]))


def test_the_gallery_has_a_report_a_verdict_and_a_comparison(files: dict[str, str | bytes]) -> None:
    page = (links.ROOT / "docs/gallery.md").read_text("utf-8")
    shown = {path: str(text) for path, text in files.items() if path.startswith("gallery/")}
    assert set(re.findall(r"\((gallery/[\w.]+)\)", page)) == {path for path in shown if "plots/" not in path}
    pictures = set(re.findall(r"\]\((plots/[\w.]+)\)", shown["gallery/compare.md"]))
    assert {f"gallery/{picture}" for picture in pictures} <= set(shown)
    for name in ("pass", "fail", "inconclusive"):
        assert name.upper() in shown[f"gallery/judge_{name}.html"]


def test_every_page_has_a_description_of_its_own() -> None:
    pages = [*(links.ROOT / "docs").glob("*.md"), links.ROOT / "README.md"]
    described = {path.name: describe_page(path.read_text("utf-8")) for path in pages}
    assert all(20 < len(text) <= 160 for text in described.values()), described
    assert len(set(described.values())) == len(described)
    assert described["README.md"].startswith("slimgate is a pytest plugin that builds smaller variants")
    paths = [
        path for path in links.list_repository_pages() if path.startswith("reports/")
    ]  # not reports/latest
    reports = [describe_page((links.ROOT / path).read_text("utf-8")) for path in paths]
    assert len(reports) > 40
    assert all(20 < len(text) <= 160 for text in reports), reports
    assert not [text for text in reports if re.match(r"pytest |python -m \S+( >|$)", text)]
    assert describe_page("# Title\n\n| a |\n|---|\n\nSee [this](x.md) `page`.\n") == "See this page."


def test_a_page_of_the_repository_is_editable_no_generated_one() -> None:
    assert str(edit_address("README.md")).endswith("/edit/main/README.md")
    assert str(edit_address("docs/tune.md")).endswith("/edit/main/docs/tune.md")
    assert edit_address("docs/reference/steps.md") is None


def test_every_report_is_in_the_navigation_under_its_title() -> None:
    pages = links.list_repository_pages()
    *reports, simulations = list_report_navigation(pages)
    assert {"How fast inside a budget": "reports/frontier.md"} in reports
    assert isinstance(simulations, dict)
    first, *_ = simulations["Simulations"]
    assert list(first.values()) == ["reports/simulations/README.md"]
    count = sum(page.startswith("reports/") for page in pages.values())
    assert len(reports) + len(simulations["Simulations"]) == count


def test_a_page_that_no_link_leads_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<a class="x" href="a/one.html#there">one</a><a href="b.html?x">b</a>'
    )
    (tmp_path / "a/one.html").write_text('<a href="../a/two.html">two</a>')
    for page in ("a/two", "a/lost", "b", "404"):
        (tmp_path / f"{page}.html").write_text("<p>no links</p>")
    assert list_unreachable_pages(tmp_path) == ["a/lost.html"]


def test_a_column_without_a_heading_has_no_empty_heading() -> None:
    assert _EMPTY_HEADER.sub(r"<td\1></td>", "<tr><th>a</th><th style='x'></th></tr>") == (
        "<tr><th>a</th><td style='x'></td></tr>"
    )


def test_the_site_asks_no_host_for_stars_and_searches_offline() -> None:
    config = yaml.load((links.ROOT / "mkdocs.yml").read_text("utf-8").replace("!!python/", "!"), _Loader)
    assert "offline" in config["plugins"]
    assert config["extra"]["polyfills"] == ["assets/iframe-worker.js"]
    partial = (links.ROOT / config["theme"]["custom_dir"] / "partials/source.html").read_text("utf-8")
    assert 'data-md-component="source"' not in partial
    assert "version_shown" in partial


def test_a_plot_takes_its_numbers_from_the_simulations_table() -> None:
    rows = read_table("simulations/winners_curse", "## At least one variant at its budget passes")
    assert [parse_number(row["variants at their budget"]) for row in rows] == [1, 2, 5, 10, 20]
    assert parse_number("1,000") == 1000
    with pytest.raises(ValueError, match="has no table under '## Gone'"):
        read_table("simulations/winners_curse", "## Gone")
    with pytest.raises(ValueError, match="has no table under 'A verdict at 1 point'"):
        read_table("frontier", "A verdict at 1 point")
