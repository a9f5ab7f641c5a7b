"""Confusion, and precision against recall: in the page and as pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sample_record import make_sample_record, make_variant

from slimgate.record.run import RunRecord
from slimgate.report.html import render_html_report
from slimgate.report.page.charts import make_chart_data
from slimgate.report.page.diagrams import make_confusion, make_tradeoff_curve
from slimgate.report.plots import draw_behaviour
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts, TradeoffFacts
from slimgate.results.quality import QualityFacts

POINTS = [(0.5, 0.8, 0.7), (0.9, 0.95, 0.5)]


def points(moved: float = 0.0) -> list[TradeoffFacts]:
    return [
        TradeoffFacts(threshold=at, coverage=0.9, precision=precision - moved, recall=recall)
        for at, precision, recall in POINTS
    ]


def record_of(facts: BehaviourFacts, classes: list[str]) -> RunRecord:
    sample = make_sample_record()
    task = sample.task.model_copy(update={"classes": classes})
    return make_sample_record(variants=[sample.variants[0], make_variant("x", behaviour=facts)], task=task)


def test_more_rows_on_the_diagonal_are_better_elsewhere_worse() -> None:
    facts = BehaviourFacts(confusion=[[9, 3], [0, 10]], confusion_teacher=[[12, 0], [1, 9]])
    record = record_of(facts, ["a", "b"])
    matrix = make_confusion(record, record.variants[1])
    assert matrix is not None
    tones = [[(cell.change, cell.tone) for cell in cells] for _, cells in matrix.lines]
    assert tones == [
        [("-3", "worse by-3"), ("+3", "worse by-3")],
        [("-1", "better by-2"), ("+1", "better by-2")],
    ]
    page = render_html_report(record)
    assert '<td class="number worse by-3">9 <small>-3</small></td>' in page


def test_of_many_classes_the_pairs_that_moved_are_shown() -> None:
    cells = [(0, 0, 40, 30), (0, 9, 1, 11), (3, 3, 5, 5)]
    record = record_of(BehaviourFacts(confusion_cells=cells), [f"c{k}" for k in range(12)])
    matrix = make_confusion(record, record.variants[1])
    assert matrix is not None
    assert [(label, to, before, cell.rows) for label, to, before, cell in matrix.pairs] == [
        ("c0", "(right)", "40", "30"),
        ("c0", "c9", "1", "11"),
    ]


def test_a_confusion_that_did_not_move_is_not_shown() -> None:
    record = record_of(BehaviourFacts(confusion_cells=[(0, 0, 4, 4)]), ["a", "b"])
    assert make_confusion(record, record.variants[1]) is None


def test_a_curve_is_in_its_square_from_a_round_value_to_1() -> None:
    model = make_variant("x", behaviour=BehaviourFacts(tradeoff=points(), tradeoff_teacher=points(-0.02)))
    curve = make_tradeoff_curve(model)
    assert curve is not None
    assert curve.low == "0.5"
    assert [(spot.x, spot.y) for spot in curve.variant] == [(40.0, 40.0), (0.0, 10.0)]
    assert curve.path == "M40.0 40.0L0.0 10.0"
    assert curve.rows[0] == ("0.5", "0.800", "0.700", "90 %", "0.820", "0.700")


@pytest.mark.parametrize("tradeoff", [None, [], points()[:1]], ids=["none", "empty", "one"])
def test_one_threshold_is_no_curve(tradeoff: list[TradeoffFacts] | None) -> None:
    assert make_tradeoff_curve(make_variant("x", behaviour=BehaviourFacts(tradeoff=tradeoff))) is None


def test_pictures_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    facts = BehaviourFacts(
        confusion=[[9, 3], [0, 10]],
        confusion_teacher=[[12, 0], [1, 9]],
        tradeoff=points(),
        tradeoff_teacher=points(),
    )
    paths = draw_behaviour(record_of(facts, ["a", "b"]), tmp_path)
    assert [path.name for path in paths] == ["confusion.svg", "precision-recall.svg"]
    text = paths[0].read_text("utf-8")
    assert "x − teacher" in text
    assert "+3" in text
    assert draw_behaviour(record_of(BehaviourFacts(), ["a", "b"]), tmp_path / "none") == []


def test_growth_of_perplexity_is_in_percent_with_its_budget() -> None:
    common = {"teacher": 380.0, "n": 2000, "measured": "now"}
    budget = BudgetFacts(kind="increase_relative", limit=0.03, verdict=Verdict.PASS)
    better = {"value": 315.4, "drop_points": -17.0, "interval": (-18.0, -16.0), "unit": "percent"}
    shown = QualityFacts.model_validate({**common, **better, "budgets": [budget]})
    before = QualityFacts.model_validate({**common, "value": 380.0})
    teacher = make_sample_record().variants[0].model_copy(update={"quality": {"perplexity": before}})
    data = make_chart_data(
        make_sample_record(variants=[teacher, make_variant("x", quality={"perplexity": shown})])
    )
    assert data["units"] == {"perplexity": "percent"}
    assert data["limits"] == {"perplexity": pytest.approx(3.0)}
