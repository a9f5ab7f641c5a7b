"""report.html in a real browser: it sorts, filters and opens, by keyboard too, and fetches nothing.

Needs `pip install playwright axe-playwright-python` and Debian's chromium (`apt-get install chromium`).
Skipped without them, and run by `tox -e browser`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.large_record import make_large_record
from support.sample_record import make_sample_record

from slimgate.record.files import StoredRecord
from slimgate.record.run import RunRecord
from slimgate.report.html import render_html_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OPENING_SECONDS = 2.0


class Opened:
    """A page with what the browser had to say of it: errors, and what it asked for."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self.path = page, path
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.set_default_timeout(10_000)
        page.goto(path.as_uri())

    def list_models(self) -> list[str]:
        """Names in the table that are shown, from top to bottom."""
        script = "bodies => bodies.filter(body => !body.hidden).map(body => body.dataset.name)"
        return list(self.page.eval_on_selector_all("#models > tbody", script))

    def describe_focus(self) -> str:
        """What has the focus, in words."""
        script = "() => { const on = document.activeElement; return [on.id, on.ariaLabel, on.innerText]; }"
        return " ".join(part for part in self.page.evaluate(script) if part)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    """The sample's page; afterwards: no error, and nothing was asked for but the page."""
    window = open_record(browser, make_sample_record(), tmp_path)
    yield window
    assert window.said == []
    assert window.asked == [window.path.as_uri()]
    window.page.close()


def open_record(
    browser: Any, record: RunRecord, folder: Path, *, releases: Sequence[StoredRecord] = (), **options: Any
) -> Opened:
    path = folder / "report.html"
    path.write_text(render_html_report(record, folder, releases=releases), "utf-8")
    return Opened(browser.new_page(**options), path)


def test_a_heading_sorts_one_way_and_then_the_other(opened: Opened) -> None:
    heading = opened.page.locator("#models thead th", has_text="size")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert opened.list_models()[:3] == ["distilled-int8", "int8", "student"]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert opened.list_models()[-2:] == ["distilled-int8", "released"], "what has no size stays last"


def test_the_filter_takes_words_and_verdicts_and_counts_the_rest(opened: Opened) -> None:
    opened.page.get_by_label("Filter", exact=True).fill("int8 pass")
    opened.page.get_by_text("2 of 8 models shown").wait_for()
    assert opened.list_models() == ["int8", "distilled-int8"]
    opened.page.get_by_label("unfinished").uncheck()
    assert opened.list_models() == ["distilled-int8"]
    assert opened.page.locator("#shown").inner_text() == "1 of 8 models shown"
    assert opened.page.locator("#times g.times").count() == 1, "the chart of times follows the table"


def test_a_model_opens_and_closes(opened: Opened) -> None:
    button = opened.page.get_by_role("button", name="student", exact=True)
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    region = opened.page.get_by_role("region", name="Details of student")
    assert region.get_by_text("networkx (0.93)").is_visible()
    assert region.get_by_text("Returns a view of the array | with `axis` *last* <b>…").is_visible()
    assert region.get_by_text("361 rows turned from right to wrong").is_visible()
    region.get_by_label("Filter rows").fill("pandas (0.55)")
    assert region.get_by_role("status").inner_text() == "1 of 1 row shown"
    button.click()
    assert not region.is_visible()


def test_history_has_a_line_for_each_model(browser: Any, tmp_path: Path) -> None:
    record = make_sample_record()
    other_rows = record.model_copy(deep=True)
    other_rows.task.splits["gate"] = record.task.splits["gate"].model_copy(update={"digest": "other"})
    releases = [
        StoredRecord(Path("v1"), other_rows),
        StoredRecord(Path("v2"), record),
        StoredRecord(Path("this run"), record),
    ]
    page = open_record(browser, record, tmp_path, releases=releases).page
    drawn = page.locator("#history svg")
    assert drawn.locator("g.release").count() == len(
        [model for model in record.variants if "accuracy" in model.quality]
    )
    teacher = drawn.locator("g.release.reference")
    assert teacher.locator("circle").count() == 3
    assert teacher.locator("circle.other-rows").count() == 1
    assert teacher.locator("path.other-rows").count() == 1
    assert drawn.get_by_text("this run", exact=True).is_visible()


def test_dark_and_light(opened: Opened) -> None:
    button = opened.page.get_by_role("button", name="Dark colours")
    background = "getComputedStyle(document.body).backgroundColor"
    assert opened.page.evaluate(background) == "rgb(255, 255, 255)"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.page.evaluate(background) == "rgb(15, 20, 26)"
    button.click()
    assert opened.page.evaluate(background) == "rgb(255, 255, 255)"


def test_a_reader_who_likes_it_dark_gets_it_dark(browser: Any, tmp_path: Path) -> None:
    page = open_record(browser, make_sample_record(), tmp_path, color_scheme="dark").page
    assert page.get_by_role("button", name="Dark colours").get_attribute("aria-pressed") == "true"
    page.close()


def test_the_keyboard_reaches_everything(opened: Opened) -> None:
    reached = []
    for _ in range(80):
        opened.page.keyboard.press("Tab")
        reached.append(opened.describe_focus())
    assert reached[0] == "Skip to the report"
    reached = reached[: reached.index("Skip to the report", 1)]  # then it begins again
    order = ["theme", "filter", "student", "int8: 0.89×", "int8: 8.679 bits", "Behaviour", "How to read"]
    places = [next(k for k, text in enumerate(reached) if name in text) for name in order]
    assert places == sorted(places)
    assert sum(text.startswith("int8: ") for text in reached) == 2, "each chart of points is one stop"


def test_arrow_keys_go_from_point_to_point_and_enter_opens_one(opened: Opened) -> None:
    front = opened.page.locator("#front")
    front.locator("g.point[tabindex='0']").focus()
    opened.page.keyboard.press("End")
    assert opened.describe_focus().startswith(
        "distilled-int8: 2.31× [2.25, 2.38] as fast; accuracy drop 0.5 [0.0, 1.1]"
    )
    assert front.locator(".hint").inner_text() == opened.describe_focus()
    opened.page.keyboard.press("Enter")
    assert opened.page.get_by_role("region", name="Details of distilled-int8").is_visible()
    assert opened.describe_focus() == "distilled-int8"


def test_the_front_follows_the_choices_and_has_a_table(opened: Opened) -> None:
    front = opened.page.locator("#front")
    assert "M" in (front.locator("path.front").get_attribute("d") or "")
    front.get_by_role("combobox", name="Against").select_option("times smaller than the teacher")
    front.get_by_role("combobox", name="Metric").select_option("f1_macro")
    front.get_by_text("The same as a table").click()
    rows = front.locator("tbody tr")
    assert rows.first.inner_text().split("\t")[0] == "distilled-int8"
    assert rows.count() == front.locator("g.point").count() == 6, "int8 has no f1_macro, released nothing"


def test_a_page_with_nothing_measured_has_no_empty_charts(browser: Any, tmp_path: Path) -> None:
    sample = make_sample_record()
    bare = [model.model_copy(update={"quality": {}, "latency": {}}) for model in sample.variants]
    window = open_record(browser, make_sample_record(variants=bare), tmp_path)
    assert [window.page.locator(name).is_visible() for name in ("#front", "#times")] == [False, False]
    assert window.said == []
    window.page.close()


def test_the_page_fits_a_narrow_screen(browser: Any, tmp_path: Path) -> None:
    window = open_record(browser, make_sample_record(), tmp_path, viewport={"width": 400, "height": 800})
    window.page.get_by_role("button", name="student", exact=True).click()
    assert window.page.evaluate("document.documentElement.scrollWidth") == 400
    window.page.close()


def test_charts_fit_a_narrow_screen_and_hold_every_point(browser: Any, tmp_path: Path) -> None:
    sample = make_sample_record()
    gained = {"drop_points": -17.0, "interval": (-18.0, -16.0)}
    accuracy = sample.variant("student").quality["accuracy"].model_copy(update=gained)
    better = sample.variant("student").model_copy(update={"quality": {"accuracy": accuracy}})
    models = [better if model.name == "student" else model for model in sample.variants]
    size = {"width": 400, "height": 800}
    window = open_record(
        browser, make_sample_record(variants=models), tmp_path, viewport=size, color_scheme="dark"
    )
    outside = """charts => charts.flatMap(chart => {
      const frame = chart.getBoundingClientRect();
      return [...chart.querySelectorAll("g.point")].filter(mark => {
        const box = mark.getBoundingClientRect();
        return box.top < frame.top || box.bottom > frame.bottom || box.right > frame.right;
      }).map(mark => mark.getAttribute("aria-label"));
    })"""
    assert window.page.locator("#front g.point").count() > 3
    assert window.page.eval_on_selector_all(".drawing svg", outside) == []
    wider = "all => all.filter(one => one.scrollWidth > one.clientWidth).length"
    assert window.page.eval_on_selector_all(".drawing", wider) == 0
    assert window.said == []
    window.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_moderate_or_worse(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    size = {"width": width, "height": 844}
    report = open_record(browser, make_sample_record(), tmp_path, viewport=size, color_scheme=scheme)
    closed = report.page.locator("#models button[aria-expanded='false']")
    while closed.count():
        closed.first.click()
    assert report.page.locator("h3").count() > 3
    violations = axe.Axe().run(report.page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in violations if rule["impact"] != "minor"] == []
    report.page.close()


@pytest.mark.slow
def test_a_page_of_200_variants_and_20000_rows_opens_in_2_s(browser: Any, tmp_path: Path) -> None:
    """By the time that the page's own thread computed: other processes' use of the cores is not its own."""
    record = make_large_record(tmp_path, variants=200, rows=20_000)
    path = tmp_path / "report.html"
    path.write_text(render_html_report(record, tmp_path, lambda rows: ["x" * 150 for _ in rows]), "utf-8")
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.as_uri())
    metrics = {
        metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]
    }
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    size = path.stat().st_size / 1024**2
    print(f"\n{size:.1f} MB, opened in {loaded:.0f} ms, {1000 * metrics['TaskDuration']:.0f} ms of computing")  # noqa: T201
    assert page.locator("#models > tbody").count() == 201
    assert metrics["TaskDuration"] < OPENING_SECONDS
    assert size < 8
    page.close()
