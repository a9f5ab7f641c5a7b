"""A budget that failed the run where it was undecided, and only warns now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.releases import Model, seal, write_release
from support.sample_record import change_variant

from slimgate.cli.main import main
from slimgate.judge.budget_tables import SliceBudget
from slimgate.record.build import StepFacts
from slimgate.record.comparing import BudgetChange, compare
from slimgate.record.comparing.budgets import describe_weaker_tests, find_weaker
from slimgate.record.comparing.weakenings import find_budget_changes, find_weakenings
from slimgate.record.files import StoredRecord, read_record_file
from slimgate.record.run import RunRecord, format_record_json
from slimgate.record.task import DemandedBudget, DemandedRows, Demands
from slimgate.report.compare import format_release_comparison
from slimgate.results.base import BudgetFacts, CappedFacts, Verdict
from slimgate.results.self_test import SelfTest, SelfTestFacts


def release(folder: Path, on_inconclusive: str | None, **changes: str) -> StoredRecord:
    """A release whose one budget does this where it is undecided; None: a record from before it was kept."""
    file = write_release(folder, **changes) / "run.json"
    if on_inconclusive:
        field = f'"on_inconclusive": "{on_inconclusive}"'
        file.write_text(file.read_text().replace('"on_inconclusive": null', field))
    else:
        file.write_text(file.read_text().replace('"on_inconclusive": null,', ""))
    return read_record_file(seal(file))


def changes(tmp_path: Path, before: str | None, after: str | None) -> list[BudgetChange]:
    return compare(release(tmp_path / "a", before), release(tmp_path / "b", after)).budgets


def test_only_warning_now_is_a_looser_budget_without_a_reason(tmp_path: Path) -> None:
    comparison = compare(release(tmp_path / "a", "fail"), release(tmp_path / "b", "warn"))
    (change,) = comparison.unexplained
    assert (change.before, change.after, change.looser, change.undecided) == (
        1.0,
        1.0,
        True,
        ("fail", "warn"),
    )
    line = (
        "- **Loosened**: int8, accuracy, drop\\_points 1, INCONCLUSIVE failed the run and now only warns: "
        "no reason"
    )
    assert line.replace("\\_", "_") in format_release_comparison(comparison)


def test_failing_now_is_a_tighter_one(tmp_path: Path) -> None:
    (change,) = changes(tmp_path, "warn", "fail")
    assert (change.looser, change.undecided) == (False, ("warn", "fail"))


@pytest.mark.parametrize(("before", "after"), [(None, "warn"), ("fail", None), ("warn", "warn")])
def test_what_an_old_record_does_not_tell_is_no_change(
    tmp_path: Path, before: str | None, after: str | None
) -> None:
    assert changes(tmp_path, before, after) == []


def test_accepting_it_takes_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = release(tmp_path / "a", "fail", created="2026-11-01T08:00:00+00:00")
    second = release(tmp_path / "b", "warn", created="2026-11-02T08:00:00+00:00")
    into = ["--baselines", str(tmp_path / "baselines")]
    assert main(["accept", str(first.file), "--name", "v1", *into]) == 0
    assert main(["accept", str(second.file), "--name", "v2", *into]) == 4
    message = (
        "v1: int8, accuracy: drop_points failed the run if it was undecided, and only warns now; say why"
    )
    assert message in capsys.readouterr().err
    assert main(["accept", str(second.file), "--name", "v2", *into, "--reason", "few rows"]) == 0
    assert (
        "drop_points failed the run if it was undecided, and only warns now: few rows"
        in capsys.readouterr().out
    )


def grouped(folder: Path) -> StoredRecord:
    """A release whose rows were judged in groups, and which had a budget on slices of another column."""
    stored = read_record_file(
        write_release(folder, models={"int8": Model(slices=SliceBudget(drop_points=5.0))}) / "run.json"
    )
    int8 = stored.record.variant("int8")
    assert int8.behaviour is not None
    slices = [part.model_copy(update={"column": "part"}) for part in int8.behaviour.slices or ()]
    facts = int8.quality["accuracy"]
    over_builds = [replace(budget, builds=3) for budget in facts.budgets]
    changed = change_variant(
        stored.record,
        "int8",
        quality={"accuracy": facts.model_copy(update={"groups": 1200, "budgets": over_builds})},
        behaviour=int8.behaviour.model_copy(update={"slices": slices}),
    )
    stored.file.write_text(format_record_json(changed))
    return read_record_file(stored.file)


def test_lost_groups_builds_and_slices_are_a_weaker_gate(tmp_path: Path) -> None:
    old = grouped(tmp_path / "a")
    new = read_record_file(
        write_release(tmp_path / "b", models={"int8": Model(slices=SliceBudget(drop_points=5.0))})
        / "run.json"
    )
    comparison = compare(old, new)
    assert [weakening.change for weakening in comparison.weaker] == [
        "accuracy was judged in 1,200 groups of rows and is judged row by row now",
        "accuracy was judged over 3 builds and is judged on one build now",
        "the slices of part are not judged any more",
    ]
    assert "- the slices of part are not judged any more (no reason)" in format_release_comparison(comparison)
    arguments = ["compare", str(old.file), str(new.file), "--fail-on"]
    assert main([*arguments, "loosened"]) == 1
    assert main([*arguments, "regressed"]) == 1
    assert main([*arguments, "nothing"]) == 0
    assert compare(old, old).weaker == compare(new, new).weaker == []


def test_a_recipe_without_a_random_step_is_no_weaker_gate(tmp_path: Path) -> None:
    old = grouped(tmp_path / "a")
    facts = old.record.variant("int8").quality["accuracy"]
    equal = facts.model_copy(update={"budgets": [replace(budget, builds=1) for budget in facts.budgets]})
    new = change_variant(old.record, "int8", quality={"accuracy": equal})
    assert compare(old, old._replace(record=new)).weaker == []


def with_accuracy(stored: StoredRecord, runs: tuple[int, int] | None = None, **budget: Any) -> RunRecord:
    """The record with so many runs of the accuracy of int8, and these facts on its budget."""
    accuracy = stored.record.variant("int8").quality["accuracy"]
    budgets = [replace(judged, **budget) for judged in accuracy.budgets]
    quality = {"accuracy": accuracy.model_copy(update={"runs": runs, "budgets": budgets})}
    return change_variant(stored.record, "int8", quality=quality)


def make_capped(above_max: float, *, derived: bool = False) -> CappedFacts:
    return CappedFacts(
        cap=1.0, uncapped=0.1, above=0.0, above_interval=(0.0, 0.01), above_max=above_max, derived=derived
    )


OVER = "accuracy was judged over"
ON_ONE_RUN, ON_ONE_BUILD = "and is judged on one run now", "and is judged on one build now"
ABOVE = "lets 10 % of the rows lose more than the cap, and let 5 %"


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        pytest.param(
            {"runs": (1, 2)}, {}, [f"{OVER} 2 runs of the variant {ON_ONE_RUN}"], id="runs of the variant"
        ),
        pytest.param(
            {"runs": (3, 2)},
            {"runs": (1, 2)},
            [f"{OVER} 3 runs of the teacher {ON_ONE_RUN}"],
            id="runs of the teacher",
        ),
        pytest.param({"runs": (3, 3)}, {"runs": (2, 2)}, [], id="fewer runs"),
        pytest.param({}, {"runs": (2, 2)}, [], id="more runs"),
        pytest.param({"builds": 2}, {}, [f"{OVER} 2 builds {ON_ONE_BUILD}"], id="2 builds"),
        pytest.param({"builds": 1}, {}, [], id="1 build"),
        pytest.param(
            {"capped": make_capped(0.05)},
            {"capped": make_capped(0.1)},
            [f"accuracy drop_points {ABOVE}"],
            id="more rows above the cap",
        ),
        pytest.param({"capped": make_capped(0.1)}, {"capped": make_capped(0.1)}, [], id="as many above"),
        pytest.param({"capped": make_capped(0.1)}, {"capped": make_capped(0.05)}, [], id="fewer above"),
        pytest.param(
            {"capped": make_capped(0.05)}, {"capped": make_capped(0.1, derived=True)}, [], id="derived share"
        ),
        pytest.param({"capped": make_capped(0.05)}, {}, [], id="no cap now"),
        pytest.param({}, {"capped": make_capped(0.1)}, [], id="no cap before"),
    ],
)
def test_a_weaker_test_of_the_same_limit_is_named(
    tmp_path: Path, before: dict[str, Any], now: dict[str, Any], lines: list[str]
) -> None:
    stored = read_record_file(write_release(tmp_path))
    old, new = (with_accuracy(stored, **facts) for facts in (before, now))
    assert describe_weaker_tests(old, new) == lines
    assert [weakening.change for weakening in find_weaker(old, new)] == lines


def test_a_cap_of_kl_that_more_rows_exceed_is_named(tmp_path: Path) -> None:
    record = read_record_file(write_release(tmp_path)).record
    old_behaviour = record.variant("int8").behaviour
    assert old_behaviour is not None
    records = []
    for above_max in (0.05, 0.1):
        budget = BudgetFacts(
            kind="mean_max", limit=0.5, verdict=Verdict.PASS, capped=make_capped(above_max), value=0.1
        )
        behaviour = old_behaviour.model_copy(update={"budgets": [budget]})
        records.append(change_variant(record, "int8", behaviour=behaviour))
    assert describe_weaker_tests(*records) == [f"kl mean_max {ABOVE}"]
    assert describe_weaker_tests(*reversed(records)) == []


def test_weaker_tests_of_a_variant_that_is_not_gated_are_none(tmp_path: Path) -> None:
    """The groups, the builds and the slices of a column are gone, as in the test of a gated variant above."""
    old = grouped(tmp_path / "a").record
    shown = Model(slices=SliceBudget(drop_points=5.0), gated=False, reason="to see")
    new = read_record_file(write_release(tmp_path / "b", models={"int8": shown})).record
    assert describe_weaker_tests(old, new) == []
    (weakening,) = find_weaker(old, new)
    assert weakening.change == "int8 is not gated now: it fails no run"


def test_a_weaker_gate_is_accepted_with_a_reason_only(tmp_path: Path) -> None:
    old = grouped(tmp_path / "a")
    new = read_record_file(
        write_release(tmp_path / "b", models={"int8": Model(slices=SliceBudget(drop_points=5.0))})
        / "run.json"
    )
    for name, stored, more in (("v1", old, ()), ("v2", new, ("--reason", "rows of one file are few"))):
        command = ["accept", str(stored.file), "--name", name, "--baselines", str(tmp_path / "baselines")]
        assert main(command) == (4 if more else 0)
        assert not more or main([*command, *more]) == 0


def as_released(folder: Path, **changes: object) -> StoredRecord:
    """A release of a suite's run: it has what the suite demands, and both self-tests."""
    stored = read_record_file(write_release(folder) / "run.json")
    demands = Demands(
        budgets=[DemandedBudget(variant="int8", budget="accuracy", kind="drop_points", limit=1.0)],
        gated={"int8": True},
        settings={"measure.rounds": 100, "task.max_tokens": 64},
        rows={"gate": DemandedRows(n=8000, digest="gate-1")},
    )
    passed = SelfTestFacts(verdict=Verdict.FAIL, message="", measured="")
    tested = SelfTest(identical=passed.model_copy(update={"verdict": Verdict.PASS}), planted_fault=passed)
    record = stored.record.model_copy(update={"demands": demands, "self_test": tested, **changes})
    stored.file.write_text(format_record_json(record))
    return read_record_file(stored.file)


def test_another_teacher_or_no_self_test_is_a_weaker_gate(tmp_path: Path) -> None:
    old = as_released(tmp_path / "a")
    teacher, int8 = old.record.variants
    assert teacher.artifact is not None
    other = teacher.artifact.model_copy(update={"digest": "another"})
    models = [teacher.model_copy(update={"artifact": other}), int8]
    new = as_released(tmp_path / "b", variants=models, self_test=SelfTest())
    assert [weakening.change for weakening in compare(old, new).weaker] == [
        "the teacher is another model: its files differ",
        "the self-test identical has not run",
        "the self-test planted_fault has not run",
    ]
    trained = StepFacts(name="fine_tune", params={}, seconds=1.0, log={})
    again = [teacher.model_copy(update={"artifact": other, "steps": [trained]}), int8]
    assert compare(old, as_released(tmp_path / "c", variants=again)).weaker == []


def test_a_record_that_lost_its_demands_is_a_weaker_gate(tmp_path: Path) -> None:
    old, new = as_released(tmp_path / "a"), as_released(tmp_path / "b", demands=None)
    assert [weakening.change for weakening in compare(old, new).weaker] == [
        "[measure] rounds was 100 and is not set",
        "[task] max_tokens was 64 and is not set",
    ]


def test_a_budget_that_this_run_did_not_judge_is_still_demanded(tmp_path: Path) -> None:
    old = as_released(tmp_path / "a")
    teacher, int8 = old.record.variants
    unjudged = int8.model_copy(update={"quality": {}, "awaited": ["accuracy"]})
    assert compare(old, as_released(tmp_path / "b", variants=[teacher, unjudged])).weaker == []
    assert old.record.demands is not None
    none = old.record.demands.model_copy(update={"budgets": []})
    (gone,) = compare(old, as_released(tmp_path / "c", variants=[teacher, unjudged], demands=none)).weaker
    assert gone.change == "int8, accuracy: drop_points was 1 and is gone"


@pytest.mark.parametrize(
    ("before", "now", "looser"),
    [
        ({}, {"cap": 2.0}, True),
        ({"cap": 2.0}, {}, True),
        ({}, {"over": "builds"}, False),
        ({"over": "builds"}, {}, True),
        ({"over": "builds"}, {"over": "builds", "cap": 2.0}, True),
        ({"above_cap_max": 0.02}, {"above_cap_max": 0.01}, False),
        ({"above_cap_max": 0.01}, {"above_cap_max": 0.02}, True),
        ({}, {"above_cap_max": 0.01}, True),
    ],
    ids=["cap", "no cap", "builds", "no builds", "cap too", "smaller share", "larger share", "a share"],
)
def test_an_option_is_looser_unless_it_is_known_to_be_stricter(
    before: dict[str, Any], now: dict[str, Any], looser: bool
) -> None:
    demands = [
        Demands(
            gated={"int8": True},
            budgets=[
                DemandedBudget(
                    variant="int8", budget="accuracy", kind="drop_points", limit=1.0, options=options
                )
            ],
        )
        for options in (before, now)
    ]
    (change,) = find_budget_changes(*demands)
    assert (change.looser, change.options) == (looser, (before, now))


@pytest.mark.parametrize("awaited", ["latency", "latency b1", "size and latency"])
def test_a_budget_that_waits_for_its_figure_is_not_gone(awaited: str) -> None:
    budget = DemandedBudget(variant="int8", budget="latency", kind="speedup_min", limit=1.5)
    before = Demands(gated={"int8": True}, budgets=[budget])
    now = Demands(gated={"int8": True}, unjudged={"int8": [awaited]})
    assert find_budget_changes(before, now) == []
    (change,) = find_budget_changes(before, now.model_copy(update={"unjudged": {"int8": ["memory"]}}))
    assert (change.looser, change.after) == (True, None)


def test_rows_are_gone_only_if_the_others_are_known() -> None:
    """A plan has no rows yet."""
    gate, selection = DemandedRows(n=60, digest="a"), DemandedRows(n=24, digest="b")
    before = Demands(rows={"gate": gate, "selection": selection})
    assert find_weakenings(before, Demands()) == []
    (weakening,) = find_weakenings(before, Demands(rows={"selection": selection}))
    assert weakening.change == "the gate rows are gone"
    (weakening,) = find_weakenings(
        before, Demands(rows={**before.rows, "gate": DemandedRows(n=50, digest="c")})
    )
    assert weakening.change == "the gate rows have changed (60 rows then, 50 now)"
