"""The report's trace: every stage in order, and its epochs as numbers and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.report_sections import format_all_sections
from support.sample_record import make_record_of, make_sample_record, make_variant

from slimgate.record.build import StepFacts
from slimgate.record.run import RunRecord
from slimgate.report import format_suite_report
from slimgate.report.plots import write_plots
from slimgate.report.stages import format_trace


def step(name: str, **fields: Any) -> StepFacts:
    defaults = {"params": {}, "seconds": 1.5, "log": {}, "bytes": 2 * 1024**2, "parameters": 500}
    return StepFacts(name=name, **{**defaults, **fields})


def epochs(*losses: float, **further: float) -> list[dict[str, float]]:
    return [{"epoch": k, "loss": loss, **further} for k, loss in enumerate(losses, start=1)]


def record_of(*steps: StepFacts, parent: str = "teacher") -> RunRecord:
    return make_record_of(make_variant("x", steps=list(steps), parent=parent))


def cells(table: str, first: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {first} "))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_each_stage_says_what_it_starts_from_reads_and_leaves() -> None:
    trained = {"rows": 6000, "tokens": 81_000, "epochs": epochs(0.9, 0.8)}
    shown = format_trace(
        record_of(step("keep_layers"), step("distill", reads={"train": 6000, "selection": 50}, log=trained))
    )
    assert cells(shown, "x: keep_layers")[1:5] == ["teacher", "–", "–", "–"]
    assert cells(shown, "x: distill")[1:6] == [
        "keep_layers",
        "train 6,000, selection 50",
        "81,000",
        "2",
        "500",
    ]
    assert cells(shown, "x: distill")[-2:] == ["2.0", "1.5 s"]


def test_the_seconds_of_a_step_say_where_they_went() -> None:
    spent = {"tokenise": 0.2, "train": 1.0, "teacher": 0.28, "save": 0.001}
    shown = format_trace(record_of(step("keep_layers"), step("distill", log={"seconds": spent})))
    assert cells(shown, "x: distill")[-2:] == ["1.5 s", "train 1.0 s, teacher 0.3 s, tokenise 0.2 s"]
    stages = {"stages": [{"seconds": {"train": 0.5}}, {"seconds": {"train": 0.7}}], "seconds": {"load": 0.1}}
    shown = format_trace(record_of(step("progressive_distill", log=stages)))
    assert cells(shown, "x: progressive_distill")[-1] == "train 1.2 s, load 0.1 s"
    assert "of them" not in format_trace(record_of(step("keep_layers"))).splitlines()[4]


def test_rows_that_a_step_adds_to_those_of_the_split_are_counted() -> None:
    facts = step("distill", reads={"train": 60}, log={"rows": 90, "tokens": 1, "epochs": epochs(0.5)})
    assert cells(format_trace(record_of(facts)), "x: distill")[2] == "trained on 90, train 60"


def test_a_step_in_stages_has_the_epochs_of_all_of_them() -> None:
    log = {"stages": [{"rows": 7, "tokens": 70, "epochs": epochs(0.9)}, {"rows": 7, "epochs": epochs(0.4)}]}
    record = record_of(step("progressive_distill", reads={"train": 7}, log=log))
    assert "0.9000, 0.4000" in format_all_sections(record)
    assert cells(format_trace(record), "x: progressive_distill")[2:5] == ["train 7", "70", "2"]


def test_steps_inside_a_step_have_their_epochs_and_warnings() -> None:
    trained = {"rows": 7, "tokens": 70, "epochs": epochs(0.9, 0.4), "warning": "few tokens"}
    log = {"text keep_layers": {"blocks_after": 2}, "text distill": trained}
    record = record_of(step("in_tower", reads={"train": 7}, log=log))
    assert cells(format_trace(record), "x: in_tower")[2:5] == ["train 7", "70", "2"]
    assert "x, in_tower: few tokens." in format_suite_report(record)


def test_any_quality_a_task_measures_on_selection_has_a_column() -> None:
    log = {"epochs": epochs(2.3, 0.7, loss_selection=0.9, perplexity_selection=12.5, mrr_selection=0.25)}
    section = format_all_sections(record_of(step("distill", log=log))).split(
        "### Loss and quality per epoch"
    )[1]
    head = section.strip().splitlines()[0]
    assert "perplexity, selection" in head
    assert cells(section, "x")[3:] == [
        "2.3000, 0.7000",
        "0.9000, 0.9000",
        "–",
        "12.5000, 12.5000",
        "0.2500, 0.2500",
    ]


def test_a_long_course_shows_its_beginning_and_its_end() -> None:
    log = {"epochs": epochs(*(1 - k / 100 for k in range(20)))}
    report = format_all_sections(record_of(step("distill", log=log)))
    assert "1.0000, 0.9900, 0.9800, 0.9700, …, 0.8300, 0.8200, 0.8100" in report


def test_a_step_that_trained_for_some_epochs_has_a_small_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    log = {"epochs": epochs(2.3, 0.7, loss_selection=0.9, f1_selection=0.5)}
    record = record_of(step("distill", log=log), step("fine_tune", log={"epochs": epochs(0.3)}))
    path = write_plots(record, tmp_path)[-1]
    assert path.name == "epochs.svg"
    shown = {
        "".join(node.itertext()).strip() for node in ElementTree.parse(path).iter() if "text" in node.tag
    }
    assert {"x: distill", "loss, train", "loss, selection", "f1, selection (right)"} <= shown
    assert "x: fine_tune" not in shown


def test_the_first_picture_is_open_and_the_others_are_folded() -> None:
    report = format_suite_report(make_sample_record(), ["plots/accuracy-size.svg", "plots/epochs.svg"])
    before, _, folded = report.partition("<details><summary>Show 1 more picture</summary>")
    assert "![accuracy-size](plots/accuracy-size.svg)" in before
    assert "![epochs](plots/epochs.svg)" in folded.partition("</details>")[0]
