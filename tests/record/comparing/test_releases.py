"""Two releases side by side: the teacher's drift apart from a variant's, budgets, verdicts, slices, times."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.releases import CLASSES, INT8, TEACHER, Model, make_machine, write_release

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import SliceBudget
from slimgate.judge.exact_paired import compute_paired_interval
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.outcomes import Outcomes
from slimgate.record.comparing import Comparison, compare
from slimgate.record.comparing.answers import PairedAnswers
from slimgate.record.comparing.metrics import list_metric_changes
from slimgate.record.files import StoredRecord, read_record_file
from slimgate.record.machine import PeakRates, Rates
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.record.run import ConfirmFacts, RunRecord, VariantRecord, format_record_json
from slimgate.record.task import PREDICTIONS
from slimgate.record.verdicts import AcceptedFacts, SwitchedOffBudget
from slimgate.report.compare import compare_report, format_moved_slices
from slimgate.results.base import Verdict
from slimgate.results.measurement import MeasurementFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.size import SizeFacts

LOSES_LOANS = {**INT8, "loan": range(145)}
LOST = {name: range(160) for name in CLASSES}  # 3 points behind the teacher
UNSURE = {name: range(130) for name in CLASSES}  # 1.5 points, with an interval that holds 1.5
FEWER = {name: range(110) for name in CLASSES}


def compared(old: Path, new: Path) -> Comparison:
    return compare(read_record_file(old), read_record_file(new))


def releases(folder: Path, **changes: object) -> Comparison:
    """The release as it is, and one with changes."""
    write_release(folder / "old")
    return compared(folder / "old", write_release(folder / "new", **changes))  # type: ignore[arg-type]


def make_model(points: float, reason: str | None = None) -> Model:
    return Model(budgets=(QualityBudget("drop_points", points, reason),))


def test_a_release_and_itself_have_nothing_between_them(tmp_path: Path) -> None:
    comparison = releases(tmp_path)
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
    comparison = releases(tmp_path, models={"int8": Model(wrong=LOSES_LOANS)})
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
def test_a_fallen_teacher_is_told_apart_from_the_variant(
    tmp_path: Path, wrong: dict[str, range], reading: str
) -> None:
    comparison = releases(tmp_path, teacher=FEWER, models={"int8": Model(wrong=wrong)})
    assert comparison.teacher is not None
    assert comparison.teacher.metrics[0].shown == "worse"
    (accuracy,) = comparison.variants[0].metrics
    assert str(accuracy.reading).startswith(reading)


def test_the_drop_behind_a_teacher_that_fell_as_much_is_the_same(tmp_path: Path) -> None:
    comparison = releases(tmp_path, teacher=FEWER, models={"int8": Model({n: range(125) for n in CLASSES})})
    (accuracy,) = comparison.variants[0].metrics
    assert accuracy.old_drop == pytest.approx(0.75)
    assert accuracy.new_drop == pytest.approx(0.75)
    assert accuracy.drop_points == pytest.approx(0.5)


def test_other_gate_rows_are_not_tested(tmp_path: Path) -> None:
    comparison = releases(tmp_path, gate_digest="gate-2", models={"int8": Model(wrong=LOSES_LOANS)})
    assert not comparison.same_rows
    assert "The gate rows are not the same" in comparison.notes[0]
    assert comparison.variants[0].metrics[0].interval is None
    assert comparison.variants[0].metrics[0].drop_points == pytest.approx(30 / 80)
    assert all(part.p_holm is None for part in comparison.variants[0].slices)


def test_without_outcomes_values_are_compared_and_files_named(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    (tmp_path / "old/outcomes/int8.parquet").unlink()
    comparison = compared(
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
    comparison = compared(tmp_path / "old", new)
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
    comparison = releases(tmp_path, models={"int8": Model(wrong=LOSES_LOANS)})
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
    comparison = releases(tmp_path, models={"int8": Model(wrong={**INT8, "loan": range(40, 175)})})
    loan = comparison.variants[0].slices[0]
    assert loan.shown == "worse"
    assert loan.p_holm is not None
    assert loan.p_holm > 0.05
    (row,) = [line for line in format_moved_slices(comparison).splitlines() if "label loan" in line]
    assert "| no loss shown" in row
    assert "**" not in row
    lost = releases(tmp_path, models={"int8": Model(wrong=LOSES_LOANS)})
    (row,) = [line for line in format_moved_slices(lost).splitlines() if "label loan" in line]
    assert "| **worse**" in row


def test_a_slice_without_a_test_says_so(tmp_path: Path) -> None:
    comparison = releases(tmp_path, gate_digest="gate-2", models={"int8": Model(wrong=LOSES_LOANS)})
    (row,) = [line for line in format_moved_slices(comparison).splitlines() if "label loan" in line]
    assert "| not tested" in row


@pytest.mark.parametrize(
    ("after", "regressed", "verdict"),
    [(INT8, False, None), ({**INT8, "loan": range(400)}, True, Verdict.FAIL)],
    ids=["holds", "fails"],
)
def test_a_budget_that_held_and_fails_has_regressed(
    tmp_path: Path, after: dict[str, range], regressed: bool, verdict: Verdict | None
) -> None:
    comparison = releases(tmp_path, models={"int8": Model(wrong=after)})
    assert bool(comparison.regressed) is regressed
    if regressed:
        (change,) = comparison.verdicts
        assert (change.before, change.after) == (Verdict.PASS, verdict)
        assert "int8: accuracy" in str(change.message)


def confirm(folder: Path, outcome: Verdict) -> StoredRecord:
    """A release whose variant passed on the gate rows, with that verdict on the confirm rows."""
    stored = read_record_file(write_release(folder))
    teacher, int8 = stored.record.variants
    passed = int8.quality["accuracy"]
    budgets = [replace(budget, verdict=outcome) for budget in passed.budgets]
    message = f"confirm: int8: accuracy: {outcome}"
    again = passed.model_copy(update={"budgets": budgets, "verdict": outcome, "message": message})
    models = [teacher, int8.model_copy(update={"confirm": {"accuracy": again}})]
    rows = ConfirmFacts(digest="c", n=8000, looks=1, models=1, measured="")
    changed = stored.record.model_copy(update={"variants": models, "confirm": rows})
    return stored._replace(record=changed)


@pytest.mark.parametrize("before", [Verdict.PASS, None], ids=["confirmed", "not confirmed"])
def test_a_budget_that_fails_on_the_confirm_rows_has_regressed(
    tmp_path: Path, before: Verdict | None
) -> None:
    folder = tmp_path / "old"
    old = read_record_file(write_release(folder)) if before is None else confirm(folder, before)
    comparison = compare(old, confirm(tmp_path / "new", Verdict.FAIL))
    (change,) = comparison.regressed
    assert (change.budget, change.kind) == ("accuracy", "drop_points")
    assert (change.before, change.after) == (Verdict.PASS, Verdict.FAIL)
    text = compare_report(comparison)
    assert "1 budget held and does not hold now" in text
    assert "\n- confirm: int8: accuracy: FAIL\n" in text


def test_a_release_without_a_look_at_the_confirm_rows_is_noted(tmp_path: Path) -> None:
    old = confirm(tmp_path / "old", Verdict.FAIL)
    new = read_record_file(write_release(tmp_path / "new"))
    note = "The old release was judged on the confirm rows, and the new one was not."
    assert note in compare(old, new).notes
    assert note not in compare(new, old).notes + compare(old, old).notes


def test_a_budget_that_holds_on_both_splits_is_unchanged(tmp_path: Path) -> None:
    old = read_record_file(write_release(tmp_path / "old"))
    assert compare(old, confirm(tmp_path / "new", Verdict.PASS)).verdicts == []


def test_a_pass_on_the_confirm_rows_alone_does_not_count(tmp_path: Path) -> None:
    old, new = (confirm(tmp_path / name, Verdict.PASS) for name in ("old", "new"))
    teacher, int8 = new.record.variants
    lost = int8.model_copy(update={"quality": {}, "awaited": ["accuracy"]})
    record = new.record.model_copy(update={"variants": [teacher, lost]})
    (change,) = compare(old, new._replace(record=record)).regressed
    assert (change.before, change.after) == (Verdict.PASS, "not measured")


def test_a_variant_that_broke_has_regressed(tmp_path: Path) -> None:
    comparison = releases(tmp_path, models={"int8": Model(error="int8: the wheel came off")})
    (change,) = comparison.regressed
    assert (change.after, change.message) == ("error", "int8: the wheel came off")
    assert comparison.budgets == []


def test_an_undecided_variant_that_broke_has_regressed(tmp_path: Path) -> None:
    undecided = Model(wrong=UNSURE, budgets=(QualityBudget("drop_points", 1.5),))
    write_release(tmp_path / "old", models={"int8": undecided})
    new = write_release(tmp_path / "new", models={"int8": Model(error="int8: the wheel came off")})
    (change,) = compared(tmp_path / "old", new).regressed
    assert (change.before, change.after) == (Verdict.INCONCLUSIVE, "error")


def test_a_broken_variant_that_is_not_gated_has_no_verdict(tmp_path: Path) -> None:
    comparison = releases(tmp_path, models={"int8": Model(gated=False, reason="to see", error="broke")})
    (change,) = comparison.verdicts
    assert (change.before, change.after, change.regressed) == (Verdict.PASS, None, False)


def test_what_held_and_fails_comes_before_what_failed_and_holds(tmp_path: Path) -> None:
    bad = Model(wrong={**INT8, "loan": range(400)})
    write_release(tmp_path / "old", models={"a": bad, "b": Model(), "c": Model()})
    new = write_release(tmp_path / "new", models={"a": Model(), "b": bad, "d": Model()})
    comparison = compared(tmp_path / "old", new)
    assert [(change.variant, change.regressed) for change in comparison.verdicts] == [
        ("b", True),
        ("a", False),
    ]
    assert (comparison.added, comparison.removed) == (["d"], ["c"])


@pytest.mark.parametrize(
    ("before", "after", "regressed"),
    [(INT8, LOST, False), (UNSURE, LOST, True), (UNSURE, INT8, False), (INT8, UNSURE, True)],
    ids=["still fails", "undecided and fails", "undecided and holds", "held and is undecided"],
)
def test_what_was_undecided_and_fails_is_a_regression(
    tmp_path: Path, before: dict[str, range], after: dict[str, range], regressed: bool
) -> None:
    limit = (QualityBudget("drop_points", 0.1 if (before, after) == (INT8, LOST) else 1.5),)
    write_release(tmp_path / "old", models={"int8": Model(wrong=before, budgets=limit)})
    new = write_release(tmp_path / "new", models={"int8": Model(wrong=after, budgets=limit)})
    comparison = compared(tmp_path / "old", new)
    assert bool(comparison.regressed) is regressed
    if before is UNSURE and after is LOST:
        assert "1 budget was undecided and fails now" in compare_report(comparison)


def test_a_stricter_limit_is_no_regression_of_the_same_answers(tmp_path: Path) -> None:
    """UNSURE loses 1.5 points: it holds 4, and 1.5 cannot be decided."""
    for folder, limit in (("old", 4.0), ("new", 1.5)):
        budgets = (QualityBudget("drop_points", limit),)
        write_release(tmp_path / folder, models={"int8": Model(wrong=UNSURE, budgets=budgets)})
    comparison = compared(tmp_path / "old", tmp_path / "new")
    (change,) = comparison.verdicts
    assert (change.before, change.after, change.limits) == (Verdict.PASS, Verdict.INCONCLUSIVE, (4.0, 1.5))
    assert comparison.regressed == []
    assert "accuracy, drop_points 4 → 1.5" in compare_report(comparison)


def test_a_metric_that_fell_is_reported_whatever_the_budgets_say(tmp_path: Path) -> None:
    assert releases(tmp_path).fell == []
    comparison = releases(
        tmp_path, teacher=FEWER, models={"int8": Model(wrong={name: range(125) for name in CLASSES})}
    )
    assert [(name, metric.metric) for name, metric in comparison.fell] == [
        ("teacher", "accuracy"),
        ("int8", "accuracy"),
    ]
    assert comparison.regressed == []
    assert "2 metrics got worse" in compare_report(comparison)
    rose = releases(tmp_path, teacher={name: range(60) for name in CLASSES})
    assert rose.fell == []


def test_a_looser_budget_tells_what_the_old_one_would_say(tmp_path: Path) -> None:
    lost = {name: range(130) for name in CLASSES}  # a drop of 1.5 points
    model = Model(wrong=lost, budgets=(QualityBudget("drop_points", 2.0),))
    (change,) = releases(tmp_path, models={"int8": model}).loosened
    assert (change.before, change.after, change.reason) == (1.0, 2.0, None)
    assert change.under_before is Verdict.FAIL


@pytest.mark.parametrize(
    ("teacher", "kind", "before", "after"),
    [
        (TEACHER, "floor", 0.95, 0.93),
        (TEACHER, "drop_relative", 0.005, 0.02),
        ({name: range(130) for name in CLASSES}, "equivalent_points", 0.5, 1.0),
    ],
    ids=["a smallest value", "a share", "a gain in a two-sided budget"],
)
def test_the_old_limit_is_judged_by_its_kind_of_budget(
    tmp_path: Path, teacher: dict[str, range], kind: str, before: float, after: float
) -> None:
    for name, limit in (("old", before), ("new", after)):
        budgets = (QualityBudget(kind, limit),)
        write_release(tmp_path / name, teacher=teacher, models={"int8": Model(budgets=budgets)})
    (change,) = compared(tmp_path / "old", tmp_path / "new").loosened
    assert (change.kind, change.under_before) == (kind, Verdict.FAIL)


def test_a_reason_of_the_suite_counts_only_where_it_is_new(tmp_path: Path) -> None:
    write_release(tmp_path / "old", models={"int8": make_model(1.0, "the app's limit")})
    stale = write_release(tmp_path / "stale", models={"int8": make_model(2.0, "the app's limit")})
    explained = write_release(tmp_path / "told", models={"int8": make_model(2.0, "new customers")})
    assert compared(tmp_path / "old", stale).loosened[0].reason is None
    assert compared(tmp_path / "old", explained).loosened[0].reason == "new customers"


def test_the_reason_of_an_accepted_release_is_reported(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    accepted = AcceptedFacts(name="v2", at="2026-11-20", reason="agreed with support")
    new = write_release(tmp_path / "new", models={"int8": make_model(2.0)}, accepted=accepted)
    comparison = compared(tmp_path / "old", new)
    assert comparison.loosened[0].reason == "agreed with support"
    assert (comparison.new.name, comparison.new.reason) == ("v2", "agreed with support")
    assert comparison.unexplained == []


def test_a_budget_that_is_gone_or_gates_no_more_is_looser(tmp_path: Path) -> None:
    gone = releases(tmp_path, models={"int8": Model(budgets=())})
    assert [(change.after, change.gates_no_more, change.reason) for change in gone.loosened] == [
        (None, False, None)
    ]
    shown = releases(tmp_path, models={"int8": Model(gated=False, reason="only to see")})
    assert [(change.gates_no_more, change.reason) for change in shown.loosened] == [
        (True, None)
    ]  # no reason to demand less


def test_a_budget_switched_off_is_gone_with_the_suites_reason(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    new = write_release(tmp_path / "new", models={"int8": Model(budgets=())})
    off = SwitchedOffBudget(budget="accuracy", kind="drop_points", limit=1.0, reason="new labels")
    record = read_record_file(new).record
    int8 = record.variants[1].model_copy(update={"switched_off": [off]})
    (new / "run.json").write_text(
        format_record_json(record.model_copy(update={"variants": [record.variants[0], int8]}))
    )
    comparison = compared(tmp_path / "old", new)
    assert [(change.after, change.reason) for change in comparison.loosened] == [(None, "new labels")]
    assert comparison.unexplained == []


def test_a_tighter_budget_is_reported_and_is_not_looser(tmp_path: Path) -> None:
    comparison = releases(tmp_path, models={"int8": make_model(0.95)})
    assert [(change.after, change.looser) for change in comparison.budgets] == [(0.95, False)]


@pytest.mark.parametrize(
    ("speedup", "change"),
    [((1.5, 1.4, 1.6), "slower"), ((2.5, 2.4, 2.6), "faster"), ((1.9, 1.8, 2.0), "no change shown")],
)
def test_a_speed_up_changed_where_the_intervals_lie_apart(
    tmp_path: Path, speedup: tuple[float, float, float], change: str
) -> None:
    comparison = releases(tmp_path, models={"int8": Model(speedup=speedup)})
    assert comparison.variants[0].latency[0].change == change


def test_another_machine_tells_no_change_of_times(tmp_path: Path) -> None:
    other = {"int8": Model(speedup=(1.5, 1.4, 1.6))}
    comparison = releases(tmp_path, models=other, machine=make_machine(cpu="another cpu"))
    assert comparison.variants[0].latency[0].change is None
    assert [note for note in comparison.notes if "The machines differ (a cpu, 2 cores" in note]


def test_a_processor_with_other_instructions_is_another_machine(tmp_path: Path) -> None:
    write_release(tmp_path / "old", machine=make_machine(instructions=["avx2"]))
    slower = write_release(tmp_path / "new", machine=make_machine(instructions=["avx2", "avx512_vnni"]))
    comparison = compared(tmp_path / "old", slower)
    assert not comparison.same_machine
    [note] = comparison.notes
    assert "a cpu, 2 cores, 2 threads, cpu, avx2 and a cpu, 2 cores, 2 threads, cpu, avx2 avx512_vnni" in note
    unknown = compared(write_release(tmp_path / "unknown"), slower)
    assert "cpu, unknown instructions and" in unknown.notes[0]


def test_another_gpu_at_the_same_processor_is_another_machine(tmp_path: Path) -> None:
    """A virtual machine keeps its processor if another type of GPU is attached."""
    on = [make_machine(device="cuda", gpu=gpu) for gpu in ("Tesla T4", "Tesla V100")]
    write_release(tmp_path / "old", machine=on[0])
    new = write_release(tmp_path / "new", models={"int8": Model(speedup=(1.4, 1.3, 1.5))}, machine=on[1])
    comparison = compared(tmp_path / "old", new)
    assert not comparison.same_machine
    [note] = [note for note in comparison.notes if note.startswith("The machines differ")]
    assert "cuda (Tesla T4) and a cpu" in note
    assert comparison.variants[0].latency[0].change is None


def test_other_libraries_are_the_same_machine_and_are_noted(tmp_path: Path) -> None:
    comparison = releases(tmp_path, machine=make_machine(libraries={"torch": "2.14.0"}))
    assert comparison.same_machine
    assert comparison.notes == ["Other versions: torch 2.13.0 → 2.14.0."]


def with_rates(float32: float, memory: float | None = 10.0) -> PeakRates:
    every = Rates(threads=2, float32_gflop_per_s=float32, memory_gb_per_s=memory)
    return PeakRates(all_threads=every, seconds=2.0, measured="2026-11-23T14:00:00+00:00")


def test_a_machine_that_gave_other_peaks_is_noted(tmp_path: Path) -> None:
    write_release(tmp_path / "old", machine=make_machine(peak_rates=with_rates(142.3)))
    slower = write_release(tmp_path / "new", machine=make_machine(peak_rates=with_rates(88.4, 9.1)))
    comparison = compared(tmp_path / "old", slower)
    assert comparison.notes == ["Measured peaks differ: float32 142 → 88.4 GFLOP/s. This may change times."]
    assert comparison.same_machine
    assert comparison.notes[0] in compare_report(comparison)
    near = write_release(tmp_path / "near", machine=make_machine(peak_rates=with_rates(130.0, None)))
    assert compared(tmp_path / "old", near).notes == []
    assert compared(write_release(tmp_path / "none"), slower).notes == []  # a record of before there were any


def test_a_missing_user_metric_is_compared_by_what_was_recorded(tmp_path: Path) -> None:
    old = _renamed(write_release(tmp_path / "old"))
    new = _renamed(write_release(tmp_path / "new", models={"int8": Model(LOSES_LOANS)}))
    comparison = compared(old, new)
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
    comparison = compared(old, new)
    (metric,) = comparison.variants[0].metrics
    assert metric.interval is None
    assert metric.drop_points == pytest.approx(100 * (metric.old - 0.5))
    assert "int8: the answers are the same and not.here:metric is not" in comparison.notes[-1]


def _with_value(facts: QualityFacts, value: float) -> QualityFacts:
    return facts.model_copy(update={"value": value})


def test_a_slice_of_a_missing_metric_is_compared_by_its_values(tmp_path: Path) -> None:
    for name in ("old", "new"):
        _sliced_by(write_release(tmp_path / name), "gone")
    comparison = compared(tmp_path / "old", tmp_path / "new")
    assert {(part.metric, part.p_holm) for part in comparison.variants[0].slices} == {("gone", None)}


def test_a_slice_of_a_missing_error_metric_is_worse_if_higher(tmp_path: Path) -> None:
    """The recorded drops show that a lower share of errors is better."""
    stored = []
    for name, wrong in (("old", INT8), ("new", {**INT8, "loan": range(500)})):
        sliced = Model(wrong=wrong, slices=SliceBudget(drop_points=5.0))
        release = read_record_file(write_release(tmp_path / name, models={"int8": sliced}))
        teacher, int8 = release.record.variants
        assert int8.behaviour is not None
        parts = [
            part.model_copy(
                update={"metric": "gone:ERRORS", "teacher": 1 - part.teacher, "variant": 1 - part.variant}
            )
            for part in int8.behaviour.slices or ()
        ]
        behaviour = int8.behaviour.model_copy(update={"slices": parts})
        models = [teacher, int8.model_copy(update={"behaviour": behaviour})]
        stored.append(release._replace(record=release.record.model_copy(update={"variants": models})))
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
    assert compared(tmp_path / "old", new).notes[:4] == [
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
    (note,) = compared(tmp_path / "old", tmp_path / "new").notes
    assert note.startswith("int8: no test was made: ")


def test_answers_of_two_kinds_are_not_tested(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    file = write_release(tmp_path / "new") / "outcomes/int8.parquet"
    write_outcomes(Outcomes(read_outcomes(file).ids), file)
    (note,) = compared(tmp_path / "old", tmp_path / "new").notes
    assert note == "int8: no test was made: the answers are of two kinds, ClassOutcomes and Outcomes"


def test_gated_variants_that_are_gone_are_told_apart(tmp_path: Path) -> None:
    shown = Model(gated=False, reason="to see")
    write_release(tmp_path / "old", models={"int8": Model(), "int4": Model(), "int2": shown})
    comparison = compared(tmp_path / "old", write_release(tmp_path / "new"))
    assert (comparison.removed, comparison.gates_gone) == (["int4", "int2"], ["int4"])


def test_blanks_are_no_reason(tmp_path: Path) -> None:
    (change,) = releases(tmp_path, models={"int8": make_model(2.0, " ")}).loosened
    assert change.reason is None


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
    variants = [
        model.model_copy(update={"measurements": {"load_time": facts}}) if model.name == "int8" else model
        for model in run.record.variants
    ]
    return StoredRecord(run.file, run.record.model_copy(update={"variants": variants}))


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
    row = next(line for line in compare_report(comparison).splitlines() if "load_time" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["int8", "load_time"]
    assert cells[2:5] == [f"1.00 → {2 * ratio:#.3}", "s", "0.500 [0.450, 0.550]"]
    # without a change in any row there is no such column
    assert cells[-1] == {"larger": "**larger**", None: "0.600"}.get(change, change)


def test_the_compression_of_each_release_is_reported(tmp_path: Path) -> None:
    stored = []
    for name, compression, size in (("old", 4.0, 1_000_000), ("new", 2.0, 2_000_000)):
        run = read_record_file(write_release(tmp_path / name, models={"int8": Model(size=size)}))
        teacher, int8 = run.record.variants
        sized = int8.model_copy(update={"size": SizeFacts(compression=compression, measured="")})
        stored.append(run._replace(record=run.record.model_copy(update={"variants": [teacher, sized]})))
    size_change = compare(*stored).variants[0].size
    assert size_change is not None
    assert (size_change.old_bytes, size_change.new_bytes) == (1_000_000, 2_000_000)
    assert (size_change.old_compression, size_change.new_compression) == (4.0, 2.0)


def test_a_measurement_of_one_release_has_one_value(tmp_path: Path) -> None:
    old = read_record_file(write_release(tmp_path / "old"))
    comparison = compare(old, with_load_time(tmp_path / "new", 0.5, (0.45, 0.55)))
    (int8,) = [model for model in comparison.variants if model.name == "int8"]
    assert (int8.measurements[0].old_value, int8.measurements[0].new_value) == (None, 1.0)
