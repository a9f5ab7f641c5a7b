"""The report's section on what a teacher labelled: quality against rows, and each round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.report_sections import find_section, read_table
from support.sample_record import make_quality, make_record_of, make_sample_record, make_variant

from slimgate.record.build import StepFacts
from slimgate.report import format_suite_report
from slimgate.report.plots import write_plots
from slimgate.results.quality import BuildsFacts

FIRST = {"asked": 40, "chosen": "random", "answers": {"neg": 15, "pos": 25}, "accuracy_selection": 0.5}
SECOND = {**FIRST, "chosen": "margin", "mean_of_chosen": 0.83, "mean_of_pool": 0.21}


def chose(name: str, strategy: str, row_count: int, drop: float, builds: list[float] | None = None) -> Any:
    rounds = [FIRST] if strategy == "random" else [FIRST, SECOND]
    log = {"strategy": strategy, "pool": "train", "pool_rows": 400, "asked": row_count, "rounds": rounds}
    spread = builds and BuildsFacts(
        seeds=list(range(len(builds))),
        drops_points=builds,
        mean_points=sum(builds) / len(builds),
        sd_points=1.0,
        sampling_se_points=None,
    )
    facts = make_quality(name, "accuracy", drop, (drop - 1, drop + 1), None, builds=spread)
    step = StepFacts(name="active_distill", params={}, seconds=1.0, log={"active": log})
    return make_variant(name, quality={"accuracy": facts}, steps=[step])


def test_variants_have_their_rows_and_what_the_choice_saved() -> None:
    record = make_record_of(
        chose("margin-80", "margin", 80, 3.0),
        chose("random-80", "random", 80, 7.0),
        chose("random-40", "random", 40, 9.0),
    )
    rows = read_table(find_section(format_suite_report(record), "What the teacher labelled"))
    assert rows[0][:4] == ["rows labelled", "of", "chosen by", "variant"]
    assert rows[0][4:] == ["accuracy", "drop, points", "over random, points"]
    assert [row[3] for row in rows[1:4]] == ["random-40", "random-80", "margin-80"]
    assert rows[3] == ["80", "400", "margin", "margin-80", "0.799", "3.0 [2.0, 4.0]", "+4.0"]
    assert rows[2][-1] == "–"


@pytest.mark.parametrize("other", ["parent", "step"])
def test_only_a_random_choice_for_the_same_student_is_compared(other: str) -> None:
    """Another student is larger, so what it lost says nothing about the choice of rows."""
    larger = chose("random-large", "random", 80, 1.0)
    if other == "parent":
        larger = larger.model_copy(update={"parent": "large"})
    else:
        deep = StepFacts(name="keep_layers", params={"layers": [0, 3, 6, 9]}, seconds=1.0, log={})
        larger = larger.model_copy(update={"steps": [deep, *larger.steps]})
    models = [larger, chose("random-80", "random", 80, 7.0), chose("margin-80", "margin", 80, 3.0)]
    rows = read_table(find_section(format_suite_report(make_record_of(*models)), "What the teacher labelled"))
    [margin] = [row for row in rows if row[3:4] == ["margin-80"]]
    assert margin[-1] == "+4.0"


def test_of_several_builds_the_means_are_compared() -> None:
    record = make_record_of(
        chose("random", "random", 40, 1.0, [1.0, 9.0]), chose("margin", "margin", 40, 2.0, [2.0, 4.0])
    )
    rows = read_table(find_section(format_suite_report(record), "What the teacher labelled"))
    assert rows[2][-2:] == ["3.0 ± 1.0", "+2.0"]


def test_each_round_has_uncertainty_and_the_classes_answered() -> None:
    rows = read_table(
        find_section(
            format_suite_report(make_record_of(chose("m", "margin", 80, 3.0))), "What the teacher labelled"
        )
    )
    assert rows[-2] == ["m", "1", "40", "random", "–", "–", "15", "25", "0.5000"]
    assert rows[-1] == ["m", "2", "40", "margin", "0.830", "0.210", "15", "25", "0.5000"]


def test_other_suites_have_no_such_section() -> None:
    assert "What the teacher labelled" not in format_suite_report(make_sample_record())


def test_quality_against_labels_is_a_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    record = make_record_of(chose("random-40", "random", 40, 9.0), chose("random-80", "random", 80, 7.0))
    [path] = write_plots(record, tmp_path)
    assert path.name == "accuracy-teacher-labels.svg"
    assert "rows that the teacher labelled" in path.read_text("utf-8")
