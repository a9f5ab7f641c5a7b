"""Two releases side by side: the drift of the teacher and of a variant, slices, missing metrics and notes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.releases import (
    CLASSES,
    FEWER,
    INT8,
    LOSES_LOANS,
    Model,
    compare_changed,
    compare_folders,
    write_release,
)
from support.report_sections import split_row
from support.sample_record import change_variant

from slimgate.judge.budget_tables import SliceBudget
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.paired import compute_paired_interval
from slimgate.outcomes import Outcomes
from slimgate.record.comparing import compare
from slimgate.record.comparing.answers import PairedAnswers
from slimgate.record.comparing.metrics import list_metric_changes
from slimgate.record.files import StoredRecord, read_record_file
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.record.run import RunRecord, VariantRecord, format_record_json
from slimgate.record.task import PREDICTIONS
from slimgate.record.verdicts import AcceptedFacts
from slimgate.report.compare import format_moved_slices, format_release_comparison
from slimgate.results.figures import MeasurementFacts, SizeFacts
from slimgate.results.quality import QualityFacts


def test_a_release_and_itself_have_nothing_between_them(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path)
    assert (
        comparison.verdicts,
        comparison.budgets,
        comparison.added,
        comparison.removed,
        comparison.notes,
    ) == ([], [], [], [], [])
    assert comparison.same_rows
    assert comparison.same_machine
    (accuracy,) = comparison.variants[0].metrics
    assert (accuracy.drop_points, accuracy.shown, accuracy.reading) == (0.0, "no change shown", None)
    assert accuracy.method == "the same answers"
    assert comparison.variants[0].same_artifact


def test_a_variant_is_tested_against_its_older_self_by_the_judge(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path, models={"int8": Model(wrong=LOSES_LOANS)})
    (accuracy,) = comparison.variants[0].metrics
    # 30 of 8,000 rows were lost and none won
    assert (accuracy.right_to_wrong, accuracy.wrong_to_right, accuracy.n) == (30, 0, 8000)
    assert accuracy.drop_points == pytest.approx(30 / 80)
    assert accuracy.interval == pytest.approx(
        tuple(100 * bound for bound in compute_paired_interval(30, 0, 8000))
    )
    assert accuracy.reading == "got worse; its teacher did not"


@pytest.mark.parametrize(
    ("wrong", "reading"),
    [
        ({name: range(125) for name in CLASSES}, "got worse, and its teacher too: the drop behind"),
        (INT8, "held; its drop is smaller because the teacher got worse"),
        ({name: range(90) for name in CLASSES}, "got better while its teacher got worse"),
    ],
    ids=["with the teacher", "held", "against the teacher"],
)
def test_a_fallen_teacher_is_reported_without_the_variant(
    tmp_path: Path, wrong: dict[str, range], reading: str
) -> None:
    comparison = compare_changed(tmp_path, teacher=FEWER, models={"int8": Model(wrong=wrong)})
    assert comparison.teacher is not None
    assert comparison.teacher.metrics[0].shown == "worse"
    (accuracy,) = comparison.variants[0].metrics
    assert str(accuracy.reading).startswith(reading)


def test_the_drop_behind_a_teacher_that_fell_as_much_is_the_same(tmp_path: Path) -> None:
    comparison = compare_changed(
        tmp_path, teacher=FEWER, models={"int8": Model({n: range(125) for n in CLASSES})}
    )
    (accuracy,) = comparison.variants[0].metrics
    assert accuracy.old_drop == pytest.approx(0.75)
    assert accuracy.new_drop == pytest.approx(0.75)
    assert accuracy.drop_points == pytest.approx(0.5)


def test_other_gate_rows_are_not_tested(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path, gate_digest="gate-2", models={"int8": Model(wrong=LOSES_LOANS)})
    assert not comparison.same_rows
    assert "The gate rows are not the same" in comparison.notes[0]
    assert comparison.variants[0].metrics[0].interval is None
    assert comparison.variants[0].metrics[0].drop_points == pytest.approx(30 / 80)
    assert all(part.p_holm is None for part in comparison.variants[0].slices)


def test_without_outcomes_values_are_compared_and_files_named(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    (tmp_path / "old/outcomes/int8.parquet").unlink()
    comparison = compare_folders(
        tmp_path / "old", write_release(tmp_path / "new", models={"int8": Model(LOSES_LOANS)})
    )
    assert [note for note in comparison.notes if "old/outcomes/int8.parquet" in note]
    assert comparison.variants[0].metrics[0].interval is None
    assert comparison.teacher is not None
    assert comparison.teacher.metrics[0].interval is not None


def test_outcomes_of_another_run_than_the_records_are_not_tested(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    other = write_release(tmp_path / "other", models={"int8": Model(LOSES_LOANS)})
    new = write_release(tmp_path / "new")
    shutil.copy(other / "outcomes/int8.parquet", new / "outcomes/int8.parquet")
    comparison = compare_folders(tmp_path / "old", new)
    (note,) = comparison.notes
    assert note.startswith(
        "int8: no test was made, its outcomes are of another run than its record: accuracy of"
    )
    assert (comparison.variants[0].metrics[0].interval, comparison.variants[0].metrics[0].drop_points) == (
        None,
        0.0,
    )
    assert all(part.p_holm is None for part in comparison.variants[0].slices)


def test_a_metric_that_cannot_compare_two_releases_is_noted(tmp_path: Path) -> None:
    """Another tokenizer: each release has a perplexity, and the two are of different tokens."""
    runs = [read_record_file(write_release(tmp_path / name)) for name in ("old", "new")]
    ids = np.asarray(["a", "b"])
    pair = tuple(
        Outcomes(ids, values={"nats": np.ones(2), "tokens": np.full(2, float(count))}) for count in (4, 5)
    )
    perplexity, models = load_metric("perplexity"), []
    for outcomes in pair:
        value = compute_value(perplexity, outcomes)
        facts = QualityFacts(teacher=value, value=value, n=2, measured="")
        models.append(VariantRecord(name="int8", parent="teacher", quality={"perplexity": facts}))
    answers = PairedAnswers(*runs)
    (change,) = list_metric_changes(*models, {"perplexity": perplexity}, pair, answers)
    assert (change.interval, change.old > change.new) == (None, True)
    (note,) = answers.notes
    assert note.startswith("int8: no test of perplexity was made: perplexity is per tokens, but")


def test_the_slice_that_lost_comes_first_and_only_it_is_proven(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path, models={"int8": Model(wrong=LOSES_LOANS)})
    loan, *rest = comparison.variants[0].slices
    assert (loan.column, loan.value) == ("label", "loan")
    assert loan.drop_points == pytest.approx(1.5)
    assert loan.p_holm is not None
    assert loan.p_holm < 0.001
    assert loan.old_drop == pytest.approx(0.75)
    assert loan.new_drop == pytest.approx(2.25)
    assert (loan.n, loan.rows) == (2000, 2000)
    assert all(part.p_holm == 1.0 for part in rest)


def test_a_slice_is_worse_by_the_corrected_test_alone(tmp_path: Path) -> None:
    """60 loans lost and 40 won: the 90 % interval excludes 0, which is no proof for one of four slices."""
    comparison = compare_changed(tmp_path, models={"int8": Model(wrong={**INT8, "loan": range(40, 175)})})
    loan = comparison.variants[0].slices[0]
    assert loan.shown == "worse"
    assert loan.p_holm is not None
    assert loan.p_holm > 0.05
    (row,) = [line for line in format_moved_slices(comparison).splitlines() if "label loan" in line]
    assert "| no loss shown" in row
    assert "**" not in row
    lost = compare_changed(tmp_path, models={"int8": Model(wrong=LOSES_LOANS)})
    (row,) = [line for line in format_moved_slices(lost).splitlines() if "label loan" in line]
    assert "| **worse**" in row


def test_a_slice_without_a_test_says_so(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path, gate_digest="gate-2", models={"int8": Model(wrong=LOSES_LOANS)})
    (row,) = [line for line in format_moved_slices(comparison).splitlines() if "label loan" in line]
    assert "| not tested" in row


def test_a_missing_user_metric_is_compared_by_what_was_recorded(tmp_path: Path) -> None:
    old = _renamed(write_release(tmp_path / "old"))
    new = _renamed(write_release(tmp_path / "new", models={"int8": Model(LOSES_LOANS)}))
    comparison = compare_folders(old, new)
    (metric,) = comparison.variants[0].metrics
    assert (metric.metric, metric.interval) == ("not.here:metric", None)
    assert metric.drop_points == pytest.approx(30 / 80)


def _renamed(folder: Path) -> Path:
    stored = read_record_file(folder)
    models = [
        model.model_copy(update={"quality": {"not.here:metric": model.quality["accuracy"]}})
        for model in stored.record.variants
    ]
    record: RunRecord = stored.record.model_copy(update={"variants": models})
    (folder / "run.json").write_text(format_record_json(record))
    return folder


def test_another_runtime_of_a_variant_is_noted(tmp_path: Path) -> None:
    old, new = (write_release(tmp_path / name) for name in ("old", "new"))
    record = read_record_file(new).record
    int8 = record.variant("int8")
    assert int8.artifact is not None
    moved = int8.model_copy(update={"artifact": int8.artifact.replace(runtime="compiled")})
    changed = record.model_copy(update={"variants": [record.variants[0], moved]})
    (new / "run.json").write_text(format_record_json(changed))
    note = "int8 was judged in the runtime eager and is judged in compiled now: its answers and times depend"
    assert [line.startswith(note) for line in compare_folders(old, new).notes] == [True]
    assert compare_folders(old, old).notes == []


def test_a_baseline_is_called_by_its_name(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "x", accepted=AcceptedFacts(name="v9", at="2026-11-21"))
    stored: StoredRecord = read_record_file(folder)
    assert (stored.name, stored.at) == ("v9", "2026-11-21")


def test_another_value_of_the_same_answers_is_a_change(tmp_path: Path) -> None:
    old, new = (_renamed(write_release(tmp_path / name)) for name in ("old", "new"))
    record = read_record_file(new).record
    models = [
        model.model_copy(
            update={"quality": {n: _with_value(facts, 0.5) for n, facts in model.quality.items()}}
        )
        for model in record.variants
    ]
    (new / "run.json").write_text(format_record_json(record.model_copy(update={"variants": models})))
    comparison = compare_folders(old, new)
    (metric,) = comparison.variants[0].metrics
    assert metric.interval is None
    assert metric.drop_points == pytest.approx(100 * (metric.old - 0.5))
    assert "int8: the answers are the same and not.here:metric is not" in comparison.notes[-1]


def _with_value(facts: QualityFacts, value: float) -> QualityFacts:
    return facts.model_copy(update={"value": value})


def test_a_slice_of_a_missing_metric_is_compared_by_its_values(tmp_path: Path) -> None:
    for name in ("old", "new"):
        _sliced_by(write_release(tmp_path / name), "gone")
    comparison = compare_folders(tmp_path / "old", tmp_path / "new")
    assert {(part.metric, part.p_holm) for part in comparison.variants[0].slices} == {("gone", None)}


def test_a_slice_of_a_missing_error_metric_is_worse_if_higher(tmp_path: Path) -> None:
    """The recorded drops show that a lower share of errors is better."""
    stored = []
    for name, wrong in (("old", INT8), ("new", {**INT8, "loan": range(500)})):
        sliced = Model(wrong=wrong, slices=SliceBudget(drop_points=5.0))
        release = read_record_file(write_release(tmp_path / name, models={"int8": sliced}))
        behaviour = release.record.variant("int8").behaviour
        assert behaviour is not None
        parts = [
            part.model_copy(
                update={"metric": "gone:ERRORS", "teacher": 1 - part.teacher, "variant": 1 - part.variant}
            )
            for part in behaviour.slices or ()
        ]
        changed = behaviour.model_copy(update={"slices": parts})
        stored.append(release._replace(record=change_variant(release.record, "int8", behaviour=changed)))
    first, *rest = compare(*stored).variants[0].slices
    assert (first.value, first.drop_points) == ("loan", pytest.approx(19.25))
    assert {part.drop_points for part in rest} == {0.0}


def _sliced_by(folder: Path, metric: str) -> None:
    record = read_record_file(folder).record
    models = []
    for model in record.variants:
        behaviour = model.behaviour
        if behaviour is not None:
            slices = [part.model_copy(update={"metric": metric}) for part in behaviour.slices or ()]
            behaviour = behaviour.model_copy(update={"slices": slices})
        models.append(model.model_copy(update={"behaviour": behaviour}))
    (folder / "run.json").write_text(format_record_json(record.model_copy(update={"variants": models})))


@pytest.mark.parametrize(
    ("sides", "of_suite", "of_files"), [((0, 1), "old", "new"), ((1, 0), "new", "old")], ids=["old", "new"]
)
def test_the_record_that_is_of_a_suite_is_named(
    tmp_path: Path, sides: tuple[int, int], of_suite: str, of_files: str
) -> None:
    suite = read_record_file(write_release(tmp_path / "suite"))
    params = {"labels": list(CLASSES)}
    task = suite.record.task.model_copy(update={"kind": PREDICTIONS, "params": params})
    of_judge = suite.record.model_copy(update={"task": task, "command": "slimgate judge a.csv b.csv"})
    records = (suite, suite._replace(record=of_judge))
    first, *_ = compare(*(records[side] for side in sides)).notes
    assert first == (
        f"The {of_suite} record is of a suite, and the {of_files} record is of `slimgate judge`."
    )


def test_another_task_other_seeds_and_other_metrics_are_noted(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    new = _renamed(write_release(tmp_path / "new"))
    record = read_record_file(new).record
    changes = {
        "task": record.task.model_copy(update={"kind": "multi_label"}),
        "suite": record.suite.model_copy(update={"seeds": [1, 2]}),
    }
    (new / "run.json").write_text(format_record_json(record.model_copy(update=changes)))
    assert compare_folders(tmp_path / "old", new).notes[:4] == [
        "The task was text_classification and is multi_label.",
        "Built with other seeds: 0 → 1, 2.",
        "Only the old release measured accuracy.",
        "Only the new release measured not.here:metric.",
    ]


def test_answers_that_cannot_be_read_are_not_tested(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    file = write_release(tmp_path / "new") / "outcomes/int8.parquet"
    table = pq.read_table(file)
    nothing = pa.array([None] * len(table))
    pq.write_table(table.set_column(table.column_names.index("prediction"), "prediction", nothing), file)
    (note,) = compare_folders(tmp_path / "old", tmp_path / "new").notes
    assert note.startswith("int8: no test was made: ")


def test_answers_of_two_kinds_are_not_tested(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    file = write_release(tmp_path / "new") / "outcomes/int8.parquet"
    write_outcomes(Outcomes(read_outcomes(file).ids), file)
    (note,) = compare_folders(tmp_path / "old", tmp_path / "new").notes
    assert note == "int8: no test was made: the answers are of two kinds, ClassOutcomes and Outcomes"


def test_gated_variants_that_are_gone_are_listed_apart(tmp_path: Path) -> None:
    shown = Model(gated=False, reason="to see")
    write_release(tmp_path / "old", models={"int8": Model(), "int4": Model(), "int2": shown})
    comparison = compare_folders(tmp_path / "old", write_release(tmp_path / "new"))
    assert (comparison.removed, comparison.gates_gone) == (["int4", "int2"], ["int4"])


def with_load_time(folder: Path, ratio: float, interval: tuple[float, float] | None) -> StoredRecord:
    """The release in a folder, whose variant int8 has this load time compared with its teacher."""
    run = read_record_file(write_release(folder))
    facts = MeasurementFacts(
        title="load time",
        unit="s",
        teacher=2.0,
        value=2 * ratio,
        teacher_readings=[2.0] * 10,
        readings=[2 * ratio] * 10,
        ratio=ratio,
        interval=interval,
        measured="",
    )
    return StoredRecord(run.file, change_variant(run.record, "int8", measurements={"load_time": facts}))


@pytest.mark.parametrize(
    ("ratio", "interval", "change"),
    [
        (0.9, (0.85, 0.95), "larger"),
        (0.3, (0.25, 0.35), "smaller"),
        (0.6, (0.5, 0.7), "no change shown"),
        (0.6, None, None),
    ],
)
def test_a_measurement_is_compared_by_its_ratio(
    tmp_path: Path, ratio: float, interval: tuple[float, float] | None, change: str | None
) -> None:
    old = with_load_time(tmp_path / "old", 0.5, (0.45, 0.55))
    comparison = compare(old, with_load_time(tmp_path / "new", ratio, interval))
    (int8,) = [model for model in comparison.variants if model.name == "int8"]
    (measured,) = int8.measurements
    assert (measured.old_value, measured.new_value, measured.change) == (1.0, 2 * ratio, change)
    row = next(line for line in format_release_comparison(comparison).splitlines() if "load_time" in line)
    cells = split_row(row)
    assert cells[:2] == ["int8", "load_time"]
    assert cells[2:5] == [f"1.00 → {2 * ratio:#.3}", "s", "0.500 [0.450, 0.550]"]
    # without a change in any row there is no such column
    assert cells[-1] == {"larger": "**larger**", None: "0.600"}.get(change, change)


def test_the_compression_of_each_release_is_reported(tmp_path: Path) -> None:
    stored = []
    for name, compression, size in (("old", 4.0, 1_000_000), ("new", 2.0, 2_000_000)):
        run = read_record_file(write_release(tmp_path / name, models={"int8": Model(size=size)}))
        sized = change_variant(run.record, "int8", size=SizeFacts(compression=compression, measured=""))
        stored.append(run._replace(record=sized))
    size_change = compare(*stored).variants[0].size
    assert size_change is not None
    assert (size_change.old_bytes, size_change.new_bytes) == (1_000_000, 2_000_000)
    assert (size_change.old_compression, size_change.new_compression) == (4.0, 2.0)


def test_a_measurement_of_one_release_has_one_value(tmp_path: Path) -> None:
    old = read_record_file(write_release(tmp_path / "old"))
    comparison = compare(old, with_load_time(tmp_path / "new", 0.5, (0.45, 0.55)))
    (int8,) = [model for model in comparison.variants if model.name == "int8"]
    assert (int8.measurements[0].old_value, int8.measurements[0].new_value) == (None, 1.0)
