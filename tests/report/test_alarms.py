"""What stands right under the verdict: in the report, the comment and the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judge_command import judge_into
from support.sample_record import MEASURED, make_sample_record, make_variant

from slimgate.record.build import StepFacts
from slimgate.record.run import RunRecord
from slimgate.record.verdicts import BaselineFacts, Weakening
from slimgate.report.alarms import list_alarms
from slimgate.report.head import format_first_screen
from slimgate.report.html import render_html_report
from slimgate.report.pr_comment import format_pr_comment
from slimgate.report.terminal.summary import join_line, list_summary_lines
from slimgate.report.trust import describe_source
from slimgate.results.quality import QualityFacts, SinceFacts


def write_predictions(path: Path, rows: list[tuple[str, str]]) -> Path:
    """rows: of each, the label and the prediction."""
    lines = [f"{at},{label},{prediction}" for at, (label, prediction) in enumerate(rows)]
    path.write_text("\n".join(["id,label,prediction", *lines]) + "\n", "utf-8")
    return path


CHANCE = "its accuracy 0.510 [0.470, 0.550] is not shown to be above 0.520, the share of the label (a|b)"


@pytest.fixture
def doubtful() -> RunRecord:
    """A teacher near chance, and a variant whose name is another than in the baseline."""
    facts = QualityFacts(teacher=0.51, value=0.51, n=400, near_chance=CHANCE, measured=MEASURED)
    original = make_variant("teacher", quality={"accuracy": facts})
    since = {"accuracy": SinceFacts(new=True, note="new since then", measured=MEASURED)}
    baseline = BaselineFacts(path="b", name="v1", created="then", gates_gone=["old"])
    return make_sample_record(
        variants=[original, make_variant("fresh", since_baseline=since)], baseline=baseline
    )


def test_alarms_are_right_below_the_verdict(doubtful: RunRecord) -> None:
    lines = [line for line in format_first_screen(doubtful).splitlines() if line]
    assert lines[2].startswith("- **The teacher is near chance**: its accuracy 0.510")
    assert lines[3] == "- **New since the baseline v1**, so not compared with it: fresh."
    assert lines[4].startswith(
        "- **Gone since the baseline**, with their budgets: old; a variant that is only"
    )


def test_a_variant_that_passes_near_chance_is_named(doubtful: RunRecord) -> None:
    facts = QualityFacts(teacher=0.9, value=0.51, n=400, near_chance=CHANCE, measured=MEASURED)
    record = doubtful.replace(variants=[make_variant("always a", quality={"accuracy": facts})])
    lines = [line for line in format_first_screen(record).splitlines() if line]
    assert lines[2].startswith("- **always a passes near chance**: its accuracy 0.510")


def test_the_comment_and_the_terminal_have_the_alarms(doubtful: RunRecord) -> None:
    assert format_pr_comment([doubtful]).index("The teacher is near chance") < 400
    shown = "\n".join(join_line(line) for line in list_summary_lines(doubtful, "report.md"))
    assert f"The teacher is near chance: {CHANCE}; a variant that" in shown
    assert "New since the baseline v1, so not compared with it: fresh." in shown


def test_the_page_has_them_above_what_to_ship(doubtful: RunRecord) -> None:
    page = render_html_report(doubtful)
    assert page.index("The teacher is near chance") < page.index("<h2>What to ship</h2>")


def test_the_page_begins_with_a_gate_that_demands_less(doubtful: RunRecord) -> None:
    weaker = [Weakening(about="budgets", change="pruned: drop_points 2 -> 5")]
    baseline = BaselineFacts(path="b", name="v1", created="then", weaker=weaker)
    page = render_html_report(doubtful.model_copy(update={"baseline": baseline}))
    assert page.index("The gate demands less than the baseline v1") < page.index("<h1>")


def test_a_sound_run_has_none() -> None:
    assert list(list_alarms(make_sample_record())) == []


def test_a_label_that_no_gate_row_has_is_reported() -> None:
    record = make_sample_record()
    gate = record.task.splits["gate"].model_copy(update={"label_counts": {"a": 40, "b": 0}})
    task = record.task.model_copy(update={"classes": ["a", "b", "c|d"], "splits": {"gate": gate}})
    message = r"**No gate row has the label b, c\|d**: what a variant loses there is not judged."
    assert list(list_alarms(record.model_copy(update={"task": task}))) == [message]
    other_task = task.model_copy(update={"classes": ["x", "y"]})  # tasks whose classes are not the labels
    assert list(list_alarms(record.model_copy(update={"task": other_task}))) == []


@pytest.mark.parametrize(
    ("head", "alarms"),
    [
        (
            "logistic regression",
            [
                r"**No train row has the label b, c\|d**, but 50 of 90 gate rows have it. All models are "
                "wrong there, so what a variant loses there is not seen."
            ],
        ),
        ("the model's own", []),
    ],
    ids=["new head", "own head"],
)
def test_labels_that_no_train_row_has_are_reported(head: str, alarms: list[str]) -> None:
    """The accuracy of a ruined model seems to fall by half as much where half of the labels are unlearnt."""
    record = make_sample_record()
    facts = record.task.splits["gate"]
    splits = {
        "train": facts.model_copy(update={"label_counts": {"a": 9, "b": 0}, "n": 9}),
        "gate": facts.model_copy(update={"label_counts": {"a": 40, "b": 30, "c|d": 20}, "n": 90}),
    }
    task = record.task.model_copy(update={"classes": ["a", "b", "c|d"], "splits": splits})
    load = StepFacts(name="load_model", params={}, seconds=1.0, log={"head": head})
    variants = [make_variant("teacher", steps=[load])]
    record = record.model_copy(update={"task": task, "variants": variants})
    assert list(list_alarms(record)) == alarms


def test_a_prediction_that_is_no_label_is_not_missed(tmp_path: Path) -> None:
    rows = [("a", "a"), ("b", "b")] * 60
    base, target = (
        write_predictions(tmp_path / name, lines)
        for name, lines in (("base.csv", rows), ("int8.csv", [*rows[:-1], ("b", "I cannot say")]))
    )
    judged = judge_into(tmp_path / "out", [base, target, "--drop-points", 20])
    assert judged.record.task.classes == ["a", "b", "I cannot say"]
    assert list(list_alarms(judged.record)) == []
    assert describe_source(judged.record).endswith(" 2 classes.")
