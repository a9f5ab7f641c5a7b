"""Budgets of two releases: which regressed, and which limits became looser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.releases import (
    CLASSES,
    FEWER,
    INT8,
    LOST,
    TEACHER,
    UNSURE,
    Model,
    compare_changed,
    compare_folders,
    write_release,
)
from support.sample_record import change_variant

from slimgate.errors import DataError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.record.accept import accept
from slimgate.record.comparing import compare
from slimgate.record.comparing.budgets import find_weaker
from slimgate.record.files import StoredRecord, read_record_file
from slimgate.record.run import ConfirmFacts, format_record_json
from slimgate.record.verdicts import AcceptedFacts
from slimgate.report.compare import format_release_comparison
from slimgate.results.base import SwitchedOffBudget, Verdict


def make_model(points: float, reason: str | None = None) -> Model:
    return Model(budgets=(QualityBudget("drop_points", points, reason),))


@pytest.mark.parametrize(
    ("after", "regressed", "verdict"),
    [(INT8, False, None), ({**INT8, "loan": range(400)}, True, Verdict.FAIL)],
    ids=["holds", "fails"],
)
def test_a_budget_that_held_and_fails_has_regressed(
    tmp_path: Path, after: dict[str, range], regressed: bool, verdict: Verdict | None
) -> None:
    comparison = compare_changed(tmp_path, models={"int8": Model(wrong=after)})
    assert bool(comparison.regressed) is regressed
    if regressed:
        (change,) = comparison.verdicts
        assert (change.before, change.after) == (Verdict.PASS, verdict)
        assert "int8: accuracy" in str(change.message)


def confirm(folder: Path, outcome: Verdict) -> StoredRecord:
    """A release whose variant passed on the gate rows, with that verdict on the confirm rows."""
    stored = read_record_file(write_release(folder))
    passed = stored.record.variant("int8").quality["accuracy"]
    budgets = [replace(budget, verdict=outcome) for budget in passed.budgets]
    message = f"confirm: int8: accuracy: {outcome}"
    again = passed.model_copy(update={"budgets": budgets, "verdict": outcome, "message": message})
    rows = ConfirmFacts(digest="c", n=8000, uses=1, models=1, measured="")
    changed = change_variant(stored.record, "int8", confirm={"accuracy": again})
    return stored._replace(record=changed.model_copy(update={"confirm": rows}))


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
    text = format_release_comparison(comparison)
    assert "1 budget held and does not hold now" in text
    assert "\n- confirm: int8: accuracy: FAIL\n" in text


def test_a_release_without_use_of_the_confirm_rows_is_noted(tmp_path: Path) -> None:
    old = confirm(tmp_path / "old", Verdict.FAIL)
    new = read_record_file(write_release(tmp_path / "new"))
    note = "The old release was judged on the confirm rows, and the new one was not."
    assert note in compare(old, new).notes
    assert note not in compare(new, old).notes + compare(old, old).notes


def with_confirm_split(stored: StoredRecord) -> StoredRecord:
    """The release of a suite with a split confirm."""
    task = stored.record.task
    split = task.splits["gate"].model_copy(update={"digest": "c"})
    splits = {**task.splits, "confirm": split}
    return stored._replace(
        record=stored.record.model_copy(update={"task": task.model_copy(update={"splits": splits})})
    )


def test_a_baseline_after_a_confirmed_one_is_confirmed(tmp_path: Path) -> None:
    """A run of a pull request is only compared, and does not use the confirm rows."""
    old = with_confirm_split(confirm(tmp_path / "old", Verdict.PASS))
    new = with_confirm_split(read_record_file(write_release(tmp_path / "new")))
    (weakening,) = find_weaker(old.record, new.record)
    assert weakening.change == (
        "int8: accuracy was judged on the confirm rows and is not now: run pytest bench/support.toml "
        "--slimgate-confirm"
    )
    assert compare(old, new).weaker == []
    assert find_weaker(old.record, old.record) == find_weaker(new.record, old.record) == []
    accept(old, tmp_path / "baselines", "v1", reason=None, at="2026-11-02")
    with pytest.raises(DataError, match="demands less than the baseline v1: int8: accuracy was judged on"):
        accept(new, tmp_path / "baselines", "v2", reason=None, at="2026-11-03")
    baseline = accept(new, tmp_path / "baselines", "v2", reason="a hotfix", at="2026-11-03")
    assert baseline.record.accepted is not None
    assert [(part.change, part.reason) for part in baseline.record.accepted.weaker] == [
        (weakening.change, "a hotfix")
    ]


def test_a_budget_that_holds_on_both_splits_is_unchanged(tmp_path: Path) -> None:
    old = read_record_file(write_release(tmp_path / "old"))
    assert compare(old, confirm(tmp_path / "new", Verdict.PASS)).verdicts == []


def test_a_pass_on_the_confirm_rows_alone_does_not_count(tmp_path: Path) -> None:
    old, new = (confirm(tmp_path / name, Verdict.PASS) for name in ("old", "new"))
    record = change_variant(new.record, "int8", quality={}, awaited=["accuracy"])
    (change,) = compare(old, new._replace(record=record)).regressed
    assert (change.before, change.after) == (Verdict.PASS, "not measured")


def test_a_variant_that_broke_has_regressed(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path, models={"int8": Model(error="int8: the wheel came off")})
    (change,) = comparison.regressed
    assert (change.after, change.message) == ("error", "int8: the wheel came off")
    assert comparison.budgets == []


def test_an_undecided_variant_that_broke_has_regressed(tmp_path: Path) -> None:
    undecided = Model(wrong=UNSURE, budgets=(QualityBudget("drop_points", 1.5),))
    write_release(tmp_path / "old", models={"int8": undecided})
    new = write_release(tmp_path / "new", models={"int8": Model(error="int8: the wheel came off")})
    (change,) = compare_folders(tmp_path / "old", new).regressed
    assert (change.before, change.after) == (Verdict.INCONCLUSIVE, "error")


def test_a_broken_variant_that_is_not_gated_has_no_verdict(tmp_path: Path) -> None:
    comparison = compare_changed(
        tmp_path, models={"int8": Model(gated=False, reason="to see", error="broke")}
    )
    (change,) = comparison.verdicts
    assert (change.before, change.after, change.regressed) == (Verdict.PASS, None, False)


def test_what_held_and_fails_comes_before_what_failed_and_holds(tmp_path: Path) -> None:
    bad = Model(wrong={**INT8, "loan": range(400)})
    write_release(tmp_path / "old", models={"a": bad, "b": Model(), "c": Model()})
    new = write_release(tmp_path / "new", models={"a": Model(), "b": bad, "d": Model()})
    comparison = compare_folders(tmp_path / "old", new)
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
    comparison = compare_folders(tmp_path / "old", new)
    assert bool(comparison.regressed) is regressed
    if before is UNSURE and after is LOST:
        assert "1 budget was undecided and fails now" in format_release_comparison(comparison)


def test_a_stricter_limit_is_no_regression_of_the_same_answers(tmp_path: Path) -> None:
    """UNSURE loses 1.5 points: it holds 4, and 1.5 cannot be decided."""
    for folder, limit in (("old", 4.0), ("new", 1.5)):
        budgets = (QualityBudget("drop_points", limit),)
        write_release(tmp_path / folder, models={"int8": Model(wrong=UNSURE, budgets=budgets)})
    comparison = compare_folders(tmp_path / "old", tmp_path / "new")
    (change,) = comparison.verdicts
    assert (change.before, change.after, change.limits) == (Verdict.PASS, Verdict.INCONCLUSIVE, (4.0, 1.5))
    assert comparison.regressed == []
    text = format_release_comparison(comparison)
    assert "accuracy, drop_points 4 → 1.5" in text
    assert "1 budget held and is undecided now (a warning, or a stricter limit)" in text
    assert "no budget that held has stopped holding" not in text


def test_a_metric_that_fell_is_reported_whatever_the_budgets_say(tmp_path: Path) -> None:
    assert compare_changed(tmp_path).fell == []
    comparison = compare_changed(
        tmp_path, teacher=FEWER, models={"int8": Model(wrong={name: range(125) for name in CLASSES})}
    )
    assert [(name, metric.metric) for name, metric in comparison.fell] == [
        ("teacher", "accuracy"),
        ("int8", "accuracy"),
    ]
    assert comparison.regressed == []
    assert "2 metrics got worse" in format_release_comparison(comparison)
    rose = compare_changed(tmp_path, teacher={name: range(60) for name in CLASSES})
    assert rose.fell == []


def test_a_looser_budget_tells_what_the_old_one_would_say(tmp_path: Path) -> None:
    lost = {name: range(130) for name in CLASSES}  # a drop of 1.5 points
    model = Model(wrong=lost, budgets=(QualityBudget("drop_points", 2.0),))
    (change,) = compare_changed(tmp_path, models={"int8": model}).loosened
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
    (change,) = compare_folders(tmp_path / "old", tmp_path / "new").loosened
    assert (change.kind, change.under_before) == (kind, Verdict.FAIL)


def test_a_reason_of_the_suite_counts_only_where_it_is_new(tmp_path: Path) -> None:
    write_release(tmp_path / "old", models={"int8": make_model(1.0, "the app's limit")})
    stale = write_release(tmp_path / "stale", models={"int8": make_model(2.0, "the app's limit")})
    explained = write_release(tmp_path / "told", models={"int8": make_model(2.0, "new customers")})
    assert compare_folders(tmp_path / "old", stale).loosened[0].reason is None
    assert compare_folders(tmp_path / "old", explained).loosened[0].reason == "new customers"


def test_the_reason_of_an_accepted_release_is_reported(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    accepted = AcceptedFacts(name="v2", at="2026-11-20", reason="agreed with support")
    new = write_release(tmp_path / "new", models={"int8": make_model(2.0)}, accepted=accepted)
    comparison = compare_folders(tmp_path / "old", new)
    assert comparison.loosened[0].reason == "agreed with support"
    assert (comparison.new.name, comparison.new.reason) == ("v2", "agreed with support")
    assert comparison.unexplained == []


def test_a_budget_that_is_gone_or_gates_no_more_is_looser(tmp_path: Path) -> None:
    gone = compare_changed(tmp_path, models={"int8": Model(budgets=())})
    assert [(change.after, change.gates_no_more, change.reason) for change in gone.loosened] == [
        (None, False, None)
    ]
    shown = compare_changed(tmp_path, models={"int8": Model(gated=False, reason="only to see")})
    assert [(change.gates_no_more, change.reason) for change in shown.loosened] == [
        (True, None)
    ]  # no reason to demand less


def test_a_budget_switched_off_is_gone_with_the_suites_reason(tmp_path: Path) -> None:
    write_release(tmp_path / "old")
    new = write_release(tmp_path / "new", models={"int8": Model(budgets=())})
    off = SwitchedOffBudget(budget="accuracy", kind="drop_points", limit=1.0, reason="new labels")
    record = read_record_file(new).record
    (new / "run.json").write_text(format_record_json(change_variant(record, "int8", switched_off=[off])))
    comparison = compare_folders(tmp_path / "old", new)
    assert [(change.after, change.reason) for change in comparison.loosened] == [(None, "new labels")]
    assert comparison.unexplained == []


def test_a_tighter_budget_is_reported_and_is_not_looser(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path, models={"int8": make_model(0.95)})
    assert [(change.after, change.looser) for change in comparison.budgets] == [(0.95, False)]


def test_blanks_are_no_reason(tmp_path: Path) -> None:
    (change,) = compare_changed(tmp_path, models={"int8": make_model(2.0, " ")}).loosened
    assert change.reason is None
