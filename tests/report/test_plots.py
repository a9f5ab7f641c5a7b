"""The plots of a record: which points they show, and that they are pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.sample_record import PASS, make_quality, make_record_of, make_sample_record, make_variant

from slimgate.record.build import ArtifactFacts
from slimgate.record.run import RunRecord
from slimgate.report import format_suite_report
from slimgate.report.plots import (
    Point,
    _choose_labels_below,
    _draw_limits,
    _list_points_by_size,
    draw_behaviour,
    draw_budgets,
    write_plots,
)
from slimgate.results.base import BudgetFacts
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.quality import QualityFacts

pytest.importorskip("matplotlib")


def artifact(megabytes: float) -> ArtifactFacts:
    counts = {"parameters": 10, "nonzero_parameters": 10}
    return ArtifactFacts(kind="torch", digest="d", bytes=int(megabytes * 1024**2), runtime="eager", **counts)


def record_of(*names: str) -> RunRecord:
    models = [
        make_variant(
            name,
            quality={"accuracy": make_quality(name, "accuracy", k, (k - 1, k + 1), PASS)},
            artifact=artifact(9 - k),
        )
        for k, name in enumerate(names)
    ]
    return make_record_of(*models)


def texts(path: Path) -> list[str]:
    return [
        "".join(node.itertext()).strip()
        for node in ElementTree.parse(path).iter()
        if node.tag.endswith("text")
    ]


def test_every_model_with_a_size_and_a_metric_is_a_point(tmp_path: Path) -> None:
    budgets, path = write_plots(record_of("gptq-4", "gptq-3", "plain"), tmp_path)
    assert [budgets.name, path.name] == ["budgets.svg", "accuracy-size.svg"]
    shown = texts(path)
    assert {"teacher", "gptq-4", "gptq-3", "plain", "files needed to predict, MB"} <= set(shown)


def test_labels_with_dollars_and_any_script_are_drawn_as_text(tmp_path: Path) -> None:
    """`$10_$` would be an invalid formula, and matplotlib's font has no Chinese characters."""
    labels = ["$10_$50", "$50_$100", "猫"]
    cells = [(0, 0, 50, 40), (0, 1, 0, 10), (1, 1, 50, 50), (2, 2, 50, 50)]
    behaviour = BehaviourFacts(confusion_cells=cells)
    sample = make_record_of(make_variant("int8", behaviour=behaviour))
    record = sample.model_copy(update={"task": sample.task.model_copy(update={"classes": labels})})
    [path] = draw_behaviour(record, tmp_path)
    assert set(labels) <= set(texts(path))


def test_a_metric_of_the_hub_is_a_file_in_the_folder_of_plots(tmp_path: Path) -> None:
    record = record_of("gptq-4", "gptq-3")
    named = [
        model.model_copy(update={"quality": {"hub:owner/kappa": model.quality["accuracy"]}})
        for model in record.variants
    ]
    path = write_plots(record.model_copy(update={"variants": named}), tmp_path)[-1]
    assert path == tmp_path / "hub:owner_kappa-size.svg"
    assert path.is_file()


def test_every_gated_budget_is_a_line_of_the_chart_of_budgets(tmp_path: Path) -> None:
    path = draw_budgets(record_of("gptq-4", "gptq-3"), tmp_path)
    assert path is not None
    assert {"gptq-4: accuracy, drop 0.0 [-1.0, 1.0]", "limit"} <= set(texts(path))
    assert draw_budgets(record_of("gptq-4"), tmp_path) is None


def test_the_same_record_gives_the_same_picture(tmp_path: Path) -> None:
    first, second = (write_plots(record_of("a", "b", "c"), tmp_path / name) for name in ("one", "two"))
    assert len(first) == 2
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_one_model_makes_no_plot(tmp_path: Path) -> None:
    assert write_plots(record_of(), tmp_path) == []


@pytest.mark.parametrize(
    ("teacher", "value", "drop", "interval", "unit", "ends"),
    [
        (0.9, 0.88, 2.0, (1.0, 5.0), "points", (0.85, 0.89)),
        (0.2, 0.21, 1.0, (0.5, 1.9), "points", (0.205, 0.219)),
        (20.0, 21.0, 5.0, (4.0, 7.0), "percent", (20.8, 21.4)),
    ],
    ids=["higher is better", "lower is better", "perplexity"],
)
def test_a_bar_is_the_interval_in_the_metrics_unit(
    teacher: float, value: float, drop: float, interval: tuple[float, float], unit: Any, ends: Any
) -> None:
    common: dict[str, Any] = {"teacher": teacher, "n": 100, "measured": "now"}
    facts = QualityFacts(value=value, drop_points=drop, interval=interval, unit=unit, **common)
    model = make_variant("x", quality={"metric": facts}, artifact=artifact(1.0))
    [point] = _list_points_by_size(make_sample_record(variants=[model]), "metric")
    assert point.error is not None
    assert (value - point.error[0], value + point.error[1]) == pytest.approx(ends)


@pytest.mark.parametrize(("value", "shown"), [(0.19, 0.18), (0.21, 0.22)], ids=["accuracy", "error"])
def test_the_line_of_a_budget_is_on_its_worse_side(value: float, shown: float) -> None:
    from matplotlib.figure import Figure

    budget = BudgetFacts(kind="drop_points", limit=2.0, verdict=PASS)
    common: dict[str, Any] = {"teacher": 0.2, "n": 100, "measured": "now"}
    facts = QualityFacts(value=value, drop_points=1.0, interval=(0.5, 1.9), budgets=[budget], **common)
    models = [
        make_variant(
            "teacher", quality={"metric": QualityFacts(value=0.2, **common)}, artifact=artifact(9.0)
        ),
        make_variant("x", quality={"metric": facts}, artifact=artifact(1.0)),
    ]
    record, axes = make_sample_record(variants=models), Figure().add_subplot()
    _draw_limits(axes, record, "metric", list(_list_points_by_size(record, "metric")))
    assert [line.get_ydata()[0] for line in axes.lines] == pytest.approx([0.2, shown])


@pytest.mark.parametrize("plots", [[], ["plots/accuracy-size.svg"]], ids=["none", "one"])
def test_the_report_shows_the_pictures_that_there_are(plots: list[str]) -> None:
    shown = "![accuracy-size](plots/accuracy-size.svg)" in format_suite_report(record_of("a"), plots)
    assert shown is bool(plots)


def test_names_of_near_points_are_not_written_over_each_other() -> None:
    points = [
        Point("teacher", 87.0, 0.90, None, True),
        Point("student", 66.8, 0.855, None, True),
        Point("distilled", 66.8, 0.856, None, True),
        Point("int8", 56.4, 0.80, None, True),
    ]
    assert _choose_labels_below(points) == {"distilled"}
