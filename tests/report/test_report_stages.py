"""The report's section on what each step of a variant did."""

from __future__ import annotations

from typing import Any

from support.report_sections import format_all_sections
from support.sample_record import PASS, make_quality, make_record_of, make_sample_record, make_variant

from slimgate.record.build import StageFacts
from slimgate.results.quality import QualityFacts


def stage(owner: str, step: str | None, size: int, accuracy: float | None, **fields: Any) -> StageFacts:
    selection = {} if accuracy is None else {"accuracy": accuracy, "log_loss": 1 - accuracy}
    counts = {"parameters": size // 4, "nonzero_parameters": size // 4}
    return StageFacts(
        variant=owner, step=step, kind="torch", bytes=size, selection=selection, **counts, **fields
    )


STAGES = [
    stage("teacher", None, 8 * 1024**2, 0.9),
    stage("small", "keep_layers", 4 * 1024**2, 0.5, seconds=0.2),
    stage("small", "distill", 4 * 1024**2, 0.885, seconds=31.0),
    stage("tiny", "int8_dynamic", 1024**2, None, seconds=1.0, note="2 of 3 selection rows got a score | NaN"),
]


def report_with(stages: list[StageFacts], **fields: Any) -> str:
    rest = [
        make_variant(
            "plain", quality={"accuracy": make_quality("plain", "accuracy", 5.0, (4, 6), PASS, value=0.85)}
        )
    ]
    model = make_variant("tiny", stages=stages, **fields)
    return format_all_sections(make_record_of(*rest, model))


def cells(report: str, first: str) -> list[str]:
    """The cells of a line below the section's heading."""
    section = report.split("### Step by step")[1].split("\n### ")[0]
    [line] = [line for line in section.splitlines() if line.startswith(f"| {first} ")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_each_step_has_what_it_cost_and_what_it_saved() -> None:
    report = report_with(STAGES)
    assert "### Step by step" in report
    assert cells(report, "teacher")[1:6] == ["0.9000", "0.1000", "–", "8.0", "100.0 %"]
    assert cells(report, "small: keep_layers")[1:6] == ["0.5000", "0.5000", "-40.0", "4.0", "50.0 %"]
    assert cells(report, "small: distill")[1:6] == ["0.8850", "0.1150", "+38.5", "4.0", "50.0 %"]


def test_a_stage_that_could_not_be_measured_says_why() -> None:
    row = cells(report_with(STAGES), "tiny: int8_dynamic")
    assert row[1:4] == ["–", "–", "–"]
    assert row[-1] == "2 of 3 selection rows got a score \\| NaN"


def test_the_twin_tells_what_the_step_that_it_lacks_was_worth() -> None:
    metrics = {"accuracy": make_quality("tiny", "accuracy", -6.3, (-7, -5), PASS)}
    report = report_with(STAGES, twin="plain", quality=metrics)
    assert "Its twin plain, on the gate rows: accuracy 0.8920 against 0.8500 (+4.2 points)." in report


def test_the_twin_of_a_language_model_is_compared_in_percent() -> None:
    """A perplexity is not a share, so its difference is not in points."""
    plain, tiny = (
        QualityFacts(teacher=20.0, value=value, drop_points=value, unit="percent", n=9, measured="")
        for value in (25.0, 24.0)
    )
    models = [
        make_sample_record().variants[0],
        make_variant("plain", quality={"perplexity": plain}),
        make_variant("tiny", quality={"perplexity": tiny}, twin="plain", stages=STAGES),
    ]
    report = format_all_sections(make_sample_record(variants=models))
    line = "Its twin plain, on the gate rows: perplexity 24.0000 against 25.0000 (-4.0 %)."
    assert line in report


def test_variants_of_one_step_have_no_section() -> None:
    assert "Step by step" not in report_with([])
