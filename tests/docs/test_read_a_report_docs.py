"""docs/read_a_report.md quotes lines of a real record, and figures that stand where it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.doc_blocks import list_blocks
from support.recorded_lines import list_recorded_lines

from slimgate.record.run import format_record_json, read_record
from slimgate.report import format_suite_report

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "read_a_report.md").read_text("utf-8")
RECORD = DOCS / "example_record/run.json"
QUOTED = [
    line for block in list_blocks("docs/read_a_report.md", "text") for line in block.text.splitlines() if line
]
PLACES = re.findall(r"^\|[^|]*\| `(\.[^`]+)` \| `(.*)` \|$", PAGE, re.MULTILINE)
REPORT = format_suite_report(read_record(RECORD))


def flat(text: str) -> str:
    """With single blanks: tables are padded, prose is broken into lines."""
    return " ".join(text.split())


@pytest.mark.parametrize("line", QUOTED)
def test_a_line_that_the_page_quotes_is_in_the_report(line: str) -> None:
    assert flat(line) in flat(REPORT)


def test_the_lines_of_the_record_are_as_slimgate_writes_them_now() -> None:
    """The run was long ago. If a line has changed, write the new one into the record and the page."""
    lines = list(list_recorded_lines(read_record(RECORD)))
    assert len(lines) == 6 * (3 + 1 + 2)  # variants; metrics, size, workloads
    assert [recorded for recorded, _ in lines] == [current for _, current in lines]


def test_the_record_has_the_fields_of_todays_records() -> None:
    assert format_record_json(read_record(RECORD)) == RECORD.read_text("utf-8")


def test_the_line_of_another_run_is_the_readmes() -> None:
    [line] = re.findall(r"`(pruned-50: [^`]+)`", PAGE)
    assert flat(line) in (DOCS.parent / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("path", "figure"), PLACES, ids=[path for path, _ in PLACES])
def test_a_figure_is_in_the_record_where_the_page_says(path: str, figure: str) -> None:
    assert rounded(at(json.loads(RECORD.read_text("utf-8")), path)) == json.loads(figure)


def at(value: Any, path: str) -> Any:
    """What jq gives of a path."""
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        value = value[key] if key else value[int(index)]
    return value


def rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [rounded(element) for element in value]
    return round(value, 4) if isinstance(value, float) else value


def test_the_figures_of_its_sentences_are_the_records() -> None:
    record = read_record(RECORD)
    student, pruned = record.variant("student"), record.variant("pruned-50")
    assert student.behaviour is not None
    flips, slices = student.behaviour.flips, student.behaviour.slices or []
    assert flips is not None
    assert (flips.right_to_wrong - flips.wrong_to_right) / 6000 == pytest.approx(0.005, abs=5e-4)
    assert str(student.quality["accuracy"].verdict) == "PASS"
    by_label = {facts.value: facts.drop_points for facts in slices if facts.column == "label"}
    assert by_label["sympy"] < 0
    assert f"{student.quality['accuracy'].design_effect:.2f}" == "1.79"
    assert "drop 2.01 points" in str(pruned.quality["f1_macro"].message)
    assert "too close to its budget: about 110,000,000 rows" in str(pruned.quality["f1_macro"].message)
    assert record.variant("int8").behaviour.flips.changed == 27  # type: ignore[union-attr]


def test_the_words_of_every_status_and_band_are_explained() -> None:
    for word in ("**PASS**", "**FAIL**", "**INCONCLUSIVE**", "**partial**"):
        assert f"| {word} |" in PAGE
    assert all(f'"{band}"' in PAGE for band in ("small", "depends on the use", "bad"))
