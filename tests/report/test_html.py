"""report.html: sound and accessible HTML, the same answers as report.md, and no text comes alive in it."""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.page_reader import Element, read_page
from support.sample_record import (
    FAIL,
    PASS,
    make_artifact,
    make_latency,
    make_quality,
    make_record_of,
    make_sample_record,
    make_variant,
)

from slimgate.judge.score_metric import RECORD_KIND
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.record.build import StepFacts
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.run import RunRecord
from slimgate.record.task import SuiteFacts
from slimgate.record.verdicts import RunVerdict
from slimgate.report.html import render_html_index, render_html_report
from slimgate.report.markdown import format_suite_report
from slimgate.report.page.changed_rows import BETTER, LOST, MOVED, WON, WORSE, make_changed_rows
from slimgate.report.page.drawing import draw_bar, make_scale
from slimgate.results.base import BudgetFacts
from slimgate.results.behaviour import BehaviourFacts, Flips, QuotedRow
from slimgate.results.figures import MemoryFacts
from slimgate.results.self_test import SelfTest, SelfTestFacts

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
NASTY = {
    "script": SCRIPT,
    "comment": "<!-- <script> -->",
    "attribute": "\" onmouseover=alert(1) x='",
    "template": "{{ 7 * 7 }} {% raw %} </template>",
    "entity": "&lt;b&gt; &#60;",
    "separators": "a\u2028b\u2029c \u202edef \x1b[31m \ud800",
    "markdown": "[x](javascript:alert(1)) ![i](http://evil.example/i.png) **b** <http://a.b>",
}
CLASSES = ("numpy", "pandas", "torch")


def page_of(record: RunRecord, *more: Any) -> Element:
    return read_page(render_html_report(record, *more))


def carried(page: Element, name: str) -> Any:
    return json.loads(page.find_only("script", id=name).children[0])  # type: ignore[arg-type]


def row_of(page: Element, name: str) -> Element:
    return page.find_only("tbody", **{"data-name": name})


def details_of(page: Element, name: str) -> Element:
    return page.find_only("template", id=f"details-{row_of(page, name).attributes['data-number']}")


def test_the_answer_is_on_top() -> None:
    page = page_of(make_sample_record())
    assert (
        page.find_all("title")[0].text
        == "FAIL · Which library does this paragraph of documentation describe?"
    )
    assert (
        page.find_only("header")
        .find_all("p")[0]
        .text.startswith("FAIL 9 budgets hold, 4 do not, 1 is undecided")
    )
    cards = {
        card.find_all("h2")[0].text: card.text
        for card in page.find_all("section")
        if "card" in str(card.attributes)
    }
    assert "student: accuracy 0.800 vs 0.829, drop 2.9 points [2.3, 3.5]" in cards["What does not hold"]
    assert (
        "Ship distilled-int8 , the smallest and fastest inside its budgets: 18.4 MB" in cards["What to ship"]
    )
    assert "Not gated, so these cannot fail the run: pruned-50" in cards["Before you trust this"]


def test_every_model_has_a_row_and_what_it_opens() -> None:
    record = make_sample_record()
    page = page_of(record)
    rows = page.find_only("table", id="models").find_all("tbody")
    assert [row.attributes["data-name"] for row in rows] == [model.name for model in record.variants]
    assert [row.attributes["data-kind"] for row in rows] == [
        "reference", "FAIL", "PASS", "unfinished", "PASS", "INCONCLUSIVE", "not gated", "error",
    ]  # fmt: skip
    assert len(page.find_all("template")) == len(rows)
    student = details_of(page, "student").text
    assert "accuracy drop 2.9 [2.3, 3.5] drop at most 2 points FAIL" in student
    assert "flips 6.02 % [5.39, 6.71] at most 4 % of the rows right to wrong FAIL" in student
    assert "slices accuracy drop 6.4 [5.7, 8.1] in label networkx" in student
    assert "fine_tune epochs = 2, learning_rate = 0.0002" in student
    assert "label: networkx accuracy 1,500 0.829 0.765 6.4 [5.7, 8.1]" in student
    assert "batch 1 3.30" not in student
    assert "batch 1 3.20 3.30 3.46 3.56 –" in student
    assert "its labels do not fit the data" in details_of(page, "released").text
    assert "shows what pruning without recovery costs" in details_of(page, "pruned-50").text


def test_the_page_is_sound_and_says_what_its_parts_are() -> None:
    page = page_of(make_sample_record())
    ids = [element.attributes["id"] for element in page.find_all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    named = {
        element.attributes[key]
        for element in page.find_all()
        for key in ("for", "aria-labelledby")
        if key in element.attributes
    }
    assert named <= set(ids)
    levels = [int(element.tag[1]) for element in page.find_all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for table in page.find_all("table"):
        assert table.find_all("caption"), table.text[:80]
    assert all(head.attributes.get("scope") in ("col", "row") for head in page.find_all("th"))
    fields = {element.attributes.get("for") for element in page.find_all("label")}
    inside = {id(field) for label in page.find_all("label") for field in label.find_all("input")}
    assert all(
        element.attributes.get("id") in fields or id(element) in inside for element in page.find_all("input")
    )
    assert page.find_only("a", href="#main").text == "Skip to the report"
    assert page.find_only("p", id="shown").attributes["role"] == "status"


def test_the_page_is_one_file_and_runs_its_own_script_only() -> None:
    page = page_of(make_sample_record())
    linked = [
        element.attributes[key]
        for element in page.find_all()
        for key in ("src", "href", "srcset")
        if key in element.attributes
    ]
    assert set(linked) == {"#main", "#how-to-read-this", "data:,"}
    policy = page.find_all("meta")[1].attributes["content"]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        text = page.find_all(tag)[-1].children[0]
        digest = base64.b64encode(sha256(str(text).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [element for element in page.find_all() if "style" in element.attributes]
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", render_html_report(make_sample_record()))


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_no_text_comes_alive(text: str) -> None:
    plain, sample = page_of(make_sample_record()), make_sample_record()
    nasty = make_variant(
        text,
        reason=text,
        gated=False,
        steps=[StepFacts(name=text, params={text: text}, seconds=1.0, log={"warning": text})],
        quality={"accuracy": make_quality(text, "accuracy", 1.0, (0.5, 1.5), FAIL, message=text)},
        behaviour=BehaviourFacts(
            flips=Flips(
                right_to_wrong=1,
                wrong_to_right=0,
                changed=1,
                quoted=[QuotedRow(id=text, label=text, teacher=text, variant=text, text=text)],
            )
        ),
        artifact=make_artifact(5, 5, kind=text, runtime=text),
        latency={text: make_latency(1.0)},
    )
    record = sample.model_copy(
        update={
            "suite": sample.suite.model_copy(update={"title": text, "path": text, "reference": text}),
            "variants": [sample.variants[0], nasty, make_variant("broken", error=text)],
            "verdict": sample.verdict.model_copy(update={"messages": [text]}),
            "command": text,
        }
    )
    for written in (render_html_report(record), render_html_index([record], ["x/report.html"])):
        written.encode("utf-8")
        page = read_page(written)
        assert {element.tag for element in page.find_all()} <= {
            element.tag for element in plain.find_all()
        } | {"a", "section"}
        assert not [
            element
            for element in page.find_all()
            if any(name.startswith("on") for name in element.attributes)
        ]
        hrefs = {element.attributes["href"] for element in page.find_all("a")}
        assert hrefs <= {"#main", "#how-to-read-this", "x/report.html", "http://a.b"}
        assert written.count("</script") == written.count("<script") == len(page.find_all("script"))
    page = page_of(record)
    changed = carried(page, "changed")
    assert len(changed["rows"]) == 1
    assert not re.search("[\u2028\u2029\u202e\x1b]", str(changed))
    if text.isprintable():
        assert changed["rows"][0][2] == text
        assert row_of(page, text).find_all("button")[0].text == text


def outcomes(predictions: list[int], labels: list[int], sure: list[float]) -> ClassOutcomes:
    """Rows of three classes; sure: the probability of the prediction, the others share the rest."""
    shares = np.repeat((1 - np.array(sure))[:, None] / 2, 3, axis=1)
    shares[np.arange(len(sure)), predictions] = sure
    return ClassOutcomes(
        np.array([f"all/{k}" for k in range(len(labels))]),
        labels=np.array(labels),
        predictions=np.array(predictions),
        classes=CLASSES,
        probabilities=shares,
    )


def judged(name: str, **fields: Any) -> Any:
    return make_variant(
        name, quality={"accuracy": make_quality(name, "accuracy", 1.0, (0.5, 1.5), PASS)}, **fields
    )


def written(folder: Path, **models: Outcomes) -> Path:
    (folder / "outcomes").mkdir()
    for name, answers in models.items():
        write_outcomes(answers, folder / "outcomes" / f"{name}.parquet")
    return folder


def test_changed_rows_come_from_the_outcomes_the_surest_first(tmp_path: Path) -> None:
    labels = [0, 1, 2, 0, 1]
    teacher = outcomes([0, 1, 2, 1, 1], labels, [0.9, 0.8, 0.7, 0.6, 0.5])
    student = outcomes([1, 1, 0, 0, 1], labels, [0.6, 0.8, 0.95, 0.6, 0.5])
    folder = written(tmp_path, teacher=teacher, student=student)
    record = make_record_of(judged("student"))
    changed = make_changed_rows(record, folder, lambda rows: [f"text {row}" for row in rows])
    model = changed["models"]["student"]
    assert (model["lost"], model["won"]) == (2, 1)
    assert model["about"] == "2 rows turned from right to wrong, 1 from wrong to right."
    words, rows = changed["words"], changed["rows"]
    assert [(rows[row][0], kind, words[answer], sure) for row, kind, answer, sure in model["shown"]] == [
        ("all/2", LOST, "numpy", 0.95),
        ("all/0", LOST, "pandas", 0.6),
        ("all/3", WON, "numpy", 0.6),
    ]
    assert [(row[0], words[row[1]], row[2], words[row[3]], row[4]) for row in rows] == [
        ("all/2", "torch", "text 2", "torch", 0.7),
        ("all/0", "numpy", "text 0", "numpy", 0.9),
        ("all/3", "numpy", "text 3", "pandas", 0.6),
    ]


def test_of_very_many_rows_the_page_holds_some_and_counts_all(tmp_path: Path) -> None:
    labels = [0] * 1000
    teacher = outcomes(labels, labels, [0.9] * 1000)
    student = outcomes([1] * 1000, labels, [0.9] * 1000)
    folder = written(tmp_path, teacher=teacher, student=student, other=student)
    record = make_record_of(judged("student"), judged("other"))
    changed = make_changed_rows(record, folder)
    assert changed["models"]["student"]["lost"] == 1000
    assert len(changed["models"]["student"]["shown"]) == 300
    assert changed["models"]["student"]["about"] == (
        "1,000 rows turned from right to wrong, 0 from wrong to right. 300 of them are in this page, the "
        "most confident answers first; all are in outcomes/*.parquet."
    )
    assert len(changed["rows"]) == 300, "a row that two variants lost stands once"
    assert changed["rows"][0][2] is None, "nobody gave its text"


def test_without_outcomes_the_rows_are_those_the_record_quotes() -> None:
    changed = make_changed_rows(make_sample_record())
    assert list(changed["models"]) == ["student", "distilled"]
    assert changed["models"]["student"]["lost"] == 361
    about = changed["models"]["student"]["about"]
    assert about.endswith("2 of them are in this page."), "no outcomes are beside it"
    assert [changed["rows"][row[0]][0] for row in changed["models"]["student"]["shown"]] == [
        "all/8012",
        "all/77",
    ]


def test_rows_neither_right_nor_wrong_are_those_that_moved_most(tmp_path: Path) -> None:
    ids = np.array(["a", "b", "c"])
    gold = np.array([1.0, 2.0, 3.0])

    def scores(*values: float) -> Outcomes:
        return Outcomes(ids, values={"gold": gold, "score": np.array(values)}, given=("gold",))

    folder = written(tmp_path, teacher=scores(1.0, 2.0, 3.0), student=scores(1.5, 2.0, 1.0))
    record = make_record_of(judged("student"))
    changed = make_changed_rows(record, folder)
    shown = changed["models"]["student"]["shown"]
    assert [(changed["rows"][row][0], kind, changed["words"][answer]) for row, kind, answer, _ in shown] == [
        ("c", MOVED, "score 1"),
        ("a", MOVED, "score 1.500"),
    ], "b did not move"
    assert changed["models"]["student"]["moved"] == 2
    assert changed["models"]["student"]["about"] == (
        "The score of 2 of 3 rows changed. All of them are in this page, those that moved furthest first."
    )
    assert changed["words"][changed["rows"][0][1]] == "3"


def of_logs(folder: Path, base: list[float], target: list[float], *, higher_is_better: bool) -> Any:
    """The rows of a record of logs with one comparison, whose scores are these."""
    ids, zeros = np.array([str(row) for row in range(len(base))]), np.zeros(len(base))

    def scores(values: list[float]) -> Outcomes:
        columns = {"score": np.array(values), "comparison": zeros}
        return Outcomes(ids, values=columns, given=("comparison",))

    record = make_record_of(judged("int4"))
    params = {"comparisons": [{"name": "gsm8k/acc", "higher_is_better": higher_is_better}]}
    task = record.task.model_copy(update={"kind": RECORD_KIND, "params": params})
    outcomes_folder = written(folder, teacher=scores(base), int4=scores(target))
    return make_changed_rows(record.model_copy(update={"task": task}), outcomes_folder)


@pytest.mark.parametrize(
    ("higher_is_better", "kinds", "ways"),
    [(True, [WORSE, BETTER, WORSE], (2, 1)), (False, [BETTER, WORSE, BETTER], (1, 2))],
)
def test_rows_of_logs_got_worse_or_better(
    tmp_path: Path, higher_is_better: bool, kinds: list[int], ways: tuple[int, int]
) -> None:
    base, target = [1.0, 0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0]
    changed = of_logs(tmp_path, base, target, higher_is_better=higher_is_better)
    model = changed["models"]["int4"]
    assert [row[1] for row in changed["rows"]] == [None] * 3, "the number of a comparison is no label"
    assert [kind for _, kind, _, _ in model["shown"]] == kinds
    assert (model["moved"], model["worse"], model["better"]) == (3, *ways)
    assert model["about"] == (
        f"The score of 3 of 5 rows changed: {ways[0]} got worse, {ways[1]} better. "
        "All of them are in this page, those that moved furthest first."
    )


def test_of_very_many_moved_rows_the_page_tells_how_many(tmp_path: Path) -> None:
    base, target = [1.0] * 6_000, [0.0] * 1_200 + [1.0] * 4_800
    model = of_logs(tmp_path, base, target, higher_is_better=True)["models"]["int4"]
    assert len(model["shown"]) == 300
    assert model["about"] == (
        "The score of 1,200 of 6,000 rows changed: 1,200 got worse, 0 better. 300 of them are in this page, "
        "those that moved furthest; all are in outcomes/*.parquet."
    )


def test_of_equal_scores_no_row_is_in_the_page(tmp_path: Path) -> None:
    changed = of_logs(tmp_path, [1.0, 0.0], [1.0, 0.0], higher_is_better=True)
    model = changed["models"]["int4"]
    assert (model["shown"], changed["rows"]) == ([], [])
    assert model["about"] == "The score of all 2 rows is unchanged."


def test_charts_show_what_is_proved() -> None:
    data = carried(page_of(make_sample_record()), "data")
    models = {model["name"]: model for model in data["models"]}
    assert data["metrics"][:2] == ["accuracy", "f1_macro"]
    assert data["limits"]["accuracy"] == 2.0
    assert models["distilled-int8"]["speed"]["b1"][:2] == [2.31, 2.25]
    assert models["student"]["speed"]["b1"][1] is None, "no duel was held"
    assert models["student"]["drops"]["accuracy"][:3] == [2.9, 2.3, 3.5]
    assert [name for name, model in models.items() if model["inside"]] == ["distilled", "distilled-int8"]
    assert models["pruned-50"]["sparsity"] == pytest.approx(0.2337, abs=1e-4)
    assert models["int8"]["times"]["b1"]["p50"] == 7.12


def test_a_record_without_times_and_budgets_is_a_page_too() -> None:
    bare = [make_variant("teacher", parent=None), make_variant("small", awaited=["accuracy"])]
    partial = RunVerdict(status="partial", passed=0, failed=0, inconclusive=0, not_gated=0, missing=4)
    page = page_of(make_sample_record(variants=bare, verdict=partial, self_test=SelfTest(), followed=[]))
    assert "Partial : 4 checks of the suite have not run yet" in page.text
    assert row_of(page, "small").attributes["data-kind"] == "unfinished"
    assert carried(page, "data")["workloads"] == {}
    assert carried(page, "changed")["models"] == {}


def test_figures_that_are_not_finite_are_left_out() -> None:
    odd = make_variant(
        "odd",
        quality={
            "accuracy": make_quality("odd", "accuracy", float("nan"), (float("-inf"), float("inf")), None)
        },
        latency={"b1": make_latency(float("inf"))},
        artifact=make_artifact(0, 0),
    )
    page = page_of(make_record_of(odd))
    model = carried(page, "data")["models"][1]
    assert model["drops"] == {"accuracy": None}
    assert "p50" not in model["times"]["b1"]


def test_a_gate_that_failed_its_own_test_says_so() -> None:
    fault = SelfTestFacts(verdict=PASS, message="fault: accuracy 0.829: PASS", measured="now")
    copy = SelfTestFacts(verdict=FAIL, changed=9, message="copy: FAIL", measured="now")
    page = page_of(make_sample_record(self_test=SelfTest(identical=copy, planted_fault=fault)))
    assert "A copy of the teacher gave other answers : 9 changed" in page.find_only("main").text
    assert page.text.count("The gate cannot be trusted") == 2


def test_nothing_to_ship_is_not_shown_as_passed() -> None:
    """A variant holds its budgets, and the gate failed its self-test."""
    passed = make_variant(
        "int8", quality={"accuracy": make_quality("int8", "accuracy", 0.4, (0.0, 0.8), PASS)}
    )
    fault = SelfTestFacts(verdict=PASS, message="fault: accuracy 0.829: PASS", measured="now")
    models = [make_sample_record().variants[0], passed]
    for self_test, ships in ((SelfTest(), True), (SelfTest(planted_fault=fault), False)):
        text = render_html_report(make_sample_record(variants=models, self_test=self_test))
        assert ('<section class="card PASS">\n<h2>What to ship</h2>' in text) is ships
        [_, int8] = carried(read_page(text), "data")["models"]
        assert int8["inside"] is ships


def test_the_page_over_all_suites_links_to_each() -> None:
    passed = RunVerdict(status="PASS", passed=3, failed=0, inconclusive=0, not_gated=0)
    suite = SuiteFacts(path="bench/my suite.toml", title="Mine", digest="x", seeds=[0])
    records = [make_sample_record(), make_sample_record(verdict=passed, suite=suite)]
    page = read_page(render_html_index(records, ["library_docs/report.html", "my suite/report.html"]))
    assert [element.attributes["href"] for element in page.find_only("table").find_all("a")] == [
        "library_docs/report.html",
        "my%20suite/report.html",
    ]
    assert "the smallest and fastest inside its budgets" in page.text


def test_intervals_are_on_one_scale_and_far_ones_at_its_edge() -> None:
    scale = make_scale([-1.0, 1.0, 40.0], [2.0])
    assert (scale.low, scale.high) == pytest.approx((-1.42, 6.42))
    near, far = draw_bar(scale, 1.0, (-1.0, 2.0), [2.0]), draw_bar(scale, 40.0, (39.0, 41.0), [2.0])
    assert near is not None
    assert far is not None
    assert (near.high, near.cut) == (near.limits[0], False)
    assert (far.low, far.high, far.cut) == (100.0, 100.0, True)
    assert draw_bar(scale, None, None) is None
    assert draw_bar(scale, float("nan"), None) is None


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, WCAG 2.2."""
    shares = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour: str, other: str) -> float:
    light, dark = sorted((luminance(colour), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_all_text_can_be_read_on_its_ground(scheme: int) -> None:
    style = str(page_of(make_sample_record()).find_only("style").children[0])
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    colours = {name: shades[scheme] for name, *shades in pairs}
    written = [("text", ground) for ground in ("back", "card", "good-back")]
    tones = ("quiet", "link", "good", "bad", "open")
    written += [(tone, ground) for tone in tones for ground in ("back", "card")]
    written += [("quiet", "good-back"), *(("on-badge", tone) for tone in ("good", "bad", "open", "free"))]
    contrasts = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in written}
    assert {pair: value for pair, value in contrasts.items() if value < 4.5} == {}


def test_a_budget_on_memory_is_among_the_budgets() -> None:
    budget = BudgetFacts(kind="memory_ratio_max", limit=0.5, verdict=FAIL, value=0.9, interval=(0.89, 0.91))
    memory = MemoryFacts(
        peak_bytes=10**8, ratio=0.9, spread=(0.89, 0.91), budgets=[budget], verdict=FAIL, measured="now"
    )
    page = page_of(make_record_of(make_variant("big", memory=memory)))
    text = "memory 0.900 [0.890, 0.910] of the teacher's peak at most 0.5 of the teacher's FAIL"
    assert text in details_of(page, "big").text


def test_no_text_is_so_long_that_the_page_is() -> None:
    sample, huge = make_sample_record(), "x" * 1_000_000
    behaviour = sample.variant("student").behaviour
    assert behaviour is not None
    assert behaviour.flips is not None
    quoted = [row.model_copy(update={"id": huge, "text": huge}) for row in behaviour.flips.quoted]
    slices = [part.model_copy(update={"value": huge}) for part in behaviour.slices or ()]
    flips = behaviour.flips.model_copy(update={"quoted": quoted})
    student = sample.variant("student").model_copy(
        update={"behaviour": behaviour.model_copy(update={"flips": flips, "slices": slices})}
    )
    record = make_sample_record(
        variants=[sample.variants[0], student, make_variant("broken", error=huge)],
        verdict=sample.verdict.model_copy(update={"messages": [huge]}),
    )
    assert len(render_html_report(record)) < 200_000
    assert len(render_html_index([record], ["x/report.html"])) < 60_000


def test_each_report_points_to_the_other_without_a_contradiction() -> None:
    page, report = render_html_report(make_sample_record()), format_suite_report(make_sample_record())
    assert "all of it as text" not in page
    assert "The verdicts and the other tables are below and, as text, in report.md beside this file" in page
    assert "every changed row" not in report
    assert (
        "report.html beside this file shows more of the rows that changed, slices, confusions, calibration "
        "and build steps. run.json has every figure, and outcomes/ every row."
    ) in report
