"""`slimgate accept`: a run becomes a baseline, whole, and says why where it must."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Command
from support.releases import INT8, Model, write_release

from slimgate.cli.main import main
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.record.outcome_files import read_outcomes
from slimgate.record.run import RunRecord, format_record_json, is_edited, read_record
from slimgate.record.task import SuiteFacts

FAILS = Model(wrong={**INT8, "loan": range(400)})
# 1.5 points behind its teacher
WORSE = {name: range(130) for name in INT8}
# 0.7 points behind its teacher
NEARLY = Model(budgets=(QualityBudget("drop_points", 0.75),))


@pytest.fixture
def accept(run_command: Command, tmp_path: Path) -> Command:
    """Accepts a run under tmp_path/baselines."""

    def run(record: Path, name: str, *arguments: str) -> tuple[int, str, str]:
        where = ("--baselines", tmp_path / "baselines")
        return run_command("accept", record, "--name", name, *where, *arguments)

    return run


def read_baseline(folder: Path, name: str) -> RunRecord:
    return read_record(folder / "baselines" / name / "support" / "run.json")


def budget(points: float, reason: str | None = None) -> Model:
    return Model(budgets=(QualityBudget("drop_points", points, reason),))


# What a person may change in a run.json by hand.
EDITS: dict[str, tuple[str, str]] = {
    "verdict": ('"status": "FAIL"', '"status": "PASS"'),
    "budget": ('"limit": 1.0', '"limit": 9.0'),
    "figure": ('"level": 0.9', '"level": 0.5'),
    "rows": ('"digest": "gate-1"', '"digest": "gate-2"'),
    "no_digest": ('"digest": "', '"digest": "0'),
}


@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
def test_an_edited_record_needs_a_reason(accept: Command, tmp_path: Path, before: str, after: str) -> None:
    run = write_release(tmp_path / "run", models={"int8": FAILS}) / "run.json"
    text = run.read_text("utf-8")
    assert before in text
    run.write_text(text.replace(before, after), "utf-8")
    code, _, err = accept(run, "v1")
    why = 'the file was edited after slimgate wrote it; say why it is kept: --reason "…"\n'
    assert (code, err.endswith(f"run.json: {why}")) == (4, True)
    assert accept(run, "v1", "--reason", "the name of a customer is removed")[0] == 0
    accepted = read_baseline(tmp_path, "v1").accepted
    assert accepted is not None
    assert accepted.reason == "the name of a customer is removed"
    assert not is_edited(tmp_path / "baselines/v1/support/run.json")


def test_another_layout_of_a_record_is_no_edit(accept: Command, tmp_path: Path) -> None:
    run = write_release(tmp_path / "run") / "run.json"
    content = json.loads(run.read_text("utf-8"))
    run.write_text(json.dumps(dict(reversed(content.items()))), "utf-8")
    assert accept(run, "v1")[0] == 0
    del content["digest"]
    run.write_text(json.dumps(content), "utf-8")
    assert "was edited after slimgate wrote it" in accept(run, "v2")[2]


def test_record_and_outcomes_are_kept_under_the_name(accept: Command, tmp_path: Path) -> None:
    run = write_release(tmp_path / "run")
    code, out, err = accept(run / "run.json", "v1.2")
    assert (code, err) == (0, "")
    assert out == f"{tmp_path}/baselines/v1.2/support: PASS, of 2026-11-01T08:00:00+00:00\n"
    record = read_baseline(tmp_path, "v1.2")
    assert record.accepted is not None
    assert (record.accepted.name, record.accepted.reason, record.accepted.against) == ("v1.2", None, None)
    assert record.model_copy(update={"accepted": None}) == read_record(run / "run.json")
    folder = tmp_path / "baselines/v1.2/support"
    assert sorted(file.name for file in (folder / "outcomes").iterdir()) == [
        "int8.parquet",
        "teacher.parquet",
    ]
    assert len(read_outcomes(folder / "outcomes/int8.parquet")) == 8000
    assert sorted(os.listdir(folder.parent)) == ["support"]


def test_a_name_that_is_taken_is_refused_unless_forced(accept: Command, tmp_path: Path) -> None:
    run = write_release(tmp_path / "run")
    assert accept(run, "v1")[0] == 0
    again = write_release(tmp_path / "again", created="2026-11-02")
    code, _, err = accept(again, "v1")
    assert code == 4
    assert "this baseline already exists" in err
    assert read_baseline(tmp_path, "v1").created == "2026-11-01T08:00:00+00:00"
    (again / "outcomes/teacher.parquet").unlink()
    assert accept(again, "v1", "--force")[0] == 4
    assert read_baseline(tmp_path, "v1").created == "2026-11-01T08:00:00+00:00"
    assert accept(write_release(again, created="2026-11-02"), "v1", "--force")[0] == 0
    assert read_baseline(tmp_path, "v1").created == "2026-11-02"
    assert sorted(os.listdir(tmp_path / "baselines/v1")) == ["support"]


@pytest.mark.parametrize("name", ["../v1", "a/b", "", ".hidden", "v 1"])
def test_a_name_is_no_path(accept: Command, tmp_path: Path, name: str) -> None:
    code, _, err = accept(write_release(tmp_path / "run"), name)
    assert (code, (tmp_path / "baselines").exists()) == (4, False)
    assert "and no path" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {"int8": FAILS}}, "the run is FAIL (int8: accuracy"),
        ({"missing": 3}, "the run is partial: 3 checks not run"),
        ({"models": {"int8": NEARLY}}, "the run is INCONCLUSIVE (int8: accuracy"),
    ],
    ids=["FAIL", "partial", "undecided, and so not passed"],
)  # fmt: skip
def test_a_run_that_is_not_passed_or_is_partial_needs_a_reason(
    accept: Command, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    run = write_release(tmp_path / "run", **changes)  # type: ignore[arg-type]
    code, _, err = accept(run, "v1")
    assert (code, err.count("\n"), (tmp_path / "baselines").exists()) == (4, 1, False)
    assert message in err
    assert accept(run, "v1", "--reason", " ")[0] == 4
    assert accept(run, "v1", "--reason", "a hotfix")[0] == 0
    accepted = read_baseline(tmp_path, "v1").accepted
    assert accepted is not None
    assert accepted.reason == "a hotfix"


def test_a_run_that_an_undecided_budget_only_warned_needs_none(accept: Command, tmp_path: Path) -> None:
    warned = Model(budgets=(QualityBudget("drop_points", 0.75, on_inconclusive="warn"),))
    run = write_release(tmp_path / "run", models={"int8": warned})
    assert read_record(run / "run.json").verdict.status == "INCONCLUSIVE"
    assert accept(run, "v1")[0] == 0


SHOWN = Model(gated=False, reason="later")
SEEDS = SuiteFacts(path="bench/support.toml", title="", digest="", seeds=[7])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate_digest": "gate-2"}, "the gate rows have changed (8,000 rows then, 8,000 now)"),
        ({"models": {"int8": SHOWN}}, "int8 is not gated now: it fails no run"),
        ({"models": {"int4": Model()}}, "int8 is gone, with its budgets"),
        ({"models": {"int8": Model(budgets=())}}, "int8, accuracy: drop_points was 1 and is gone"),
        ({"suite": SEEDS}, "[suite] seeds was [0] and is [7]"),
    ],
    ids=["rows", "informational", "variant", "budget", "seeds"],
)
def test_a_gate_that_demands_less_needs_a_reason_to_be_accepted(
    accept: Command, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    accept(write_release(tmp_path / "v1"), "v1")
    weaker = write_release(tmp_path / "v2", **changes)
    compared = ["compare", str(tmp_path / "baselines"), str(weaker)]
    assert main(compared) == 1
    code, _, err = accept(weaker, "v2")
    assert (code, f"the gate demands less than the baseline v1: {message}; say why" in err) == (4, True)
    code, out, _ = accept(weaker, "v2", "--reason", "agreed")
    assert (code, f"weaker: {message}: agreed\n" in out) == (0, True)
    baselines = [str(tmp_path / "baselines" / name / "support") for name in ("v1", "v2")]
    assert main(["compare", *baselines]) == 0  # the release was accepted with a reason


def test_a_looser_budget_needs_a_reason_which_is_kept(accept: Command, tmp_path: Path) -> None:
    accept(write_release(tmp_path / "v1"), "v1")
    looser = write_release(tmp_path / "v2", models={"int8": budget(2.0)})
    code, _, err = accept(looser, "v2")
    assert code == 4
    assert "int8, accuracy: drop_points was 1 and is 2; say why" in err
    code, out, _ = accept(looser, "v2", "--reason", "agreed with support")
    assert code == 0
    assert "weaker: int8, accuracy: drop_points was 1 and is 2: agreed with support\n" in out
    accepted = read_baseline(tmp_path, "v2").accepted
    assert accepted is not None
    assert (accepted.against, [loosened.reason for loosened in accepted.loosened]) == (
        "v1",
        ["agreed with support"],
    )


def test_a_budget_with_a_new_reason_of_its_own_needs_no_other(accept: Command, tmp_path: Path) -> None:
    accept(write_release(tmp_path / "v1", models={"int8": budget(1.0, "the first")}), "v1")
    stale = write_release(tmp_path / "stale", models={"int8": budget(2.0, "the first")})
    assert accept(stale, "v2")[0] == 4
    assert accept(write_release(tmp_path / "v2", models={"int8": budget(2.0, "more classes")}), "v2")[0] == 0


def test_a_tighter_budget_and_another_suites_baseline_need_none(accept: Command, tmp_path: Path) -> None:
    other = SuiteFacts(path="bench/other.toml", title="", digest="", seeds=[0])
    accept(write_release(tmp_path / "other", suite=other, models={"int8": budget(0.95)}), "v1")
    assert accept(write_release(tmp_path / "v1"), "v1")[0] == 0
    assert accept(write_release(tmp_path / "v2", models={"int8": budget(0.95)}), "v2")[0] == 0


def test_a_suite_of_the_same_file_name_is_not_written_over(accept: Command, tmp_path: Path) -> None:
    accept(write_release(tmp_path / "v1"), "v1")
    other = SuiteFacts(path="other/support.toml", title="", digest="", seeds=[0])
    code, _, err = accept(write_release(tmp_path / "x", suite=other), "v1", "--force")
    assert code == 4
    assert "it has a baseline of bench/support.toml, but this run is of other/support.toml" in err


def test_missing_outcomes_are_named(accept: Command, tmp_path: Path) -> None:
    run = write_release(tmp_path / "run")
    (run / "outcomes/int8.parquet").unlink()
    code, _, err = accept(run, "v1")
    assert (code, (tmp_path / "baselines").exists()) == (4, False)
    assert "outcomes/int8.parquet: no such file" in err


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("x", "accuracy of the answers is 0.9425, of the record 0.935"),
        (None, "its outcomes cannot be read: "),
    ],
    ids=["of_another_run", "damaged"],
)
def test_answers_that_were_not_judged_are_refused(
    accept: Command, tmp_path: Path, file: str | None, problem: str
) -> None:
    """Two runs wrote into one folder at once, or a download broke: the next release has no counterpart."""
    run = write_release(tmp_path / "run", models={"int8": Model(wrong=WORSE), "x": Model()})
    content = b"PAR1 half" if file is None else (run / f"outcomes/{file}.parquet").read_bytes()
    (run / "outcomes/int8.parquet").write_bytes(content)
    code, _, err = accept(run, "v1", "--reason", "any")
    assert (code, err.count("\n")) == (4, 1)
    assert f"run/outcomes/int8.parquet: its outcomes {'are of another run' if file else 'cannot'}" in err
    assert problem in err
    assert not (tmp_path / "baselines").exists()


def test_a_clock_behind_the_newest_baseline_is_refused(accept: Command, tmp_path: Path) -> None:
    """The new baseline would never count: the gate could get weaker than it in silence."""
    run = write_release(tmp_path / "run", models={"int8": budget(2.0)})
    assert accept(run, "v1")[0] == 0
    file = tmp_path / "baselines/v1/support/run.json"
    record = read_record(file)
    assert record.accepted is not None
    late = record.accepted.model_copy(update={"at": "2126-01-01T00:00:00+00:00"})
    file.write_text(format_record_json(record.model_copy(update={"accepted": late})))
    tighter = write_release(tmp_path / "tighter", models={"int8": budget(1.0)})
    code, _, err = accept(tighter, "v2")
    assert code == 4
    assert "v1/support/run.json: it was accepted at 2126-01-01T00:00:00+00:00, which is after the time" in err
    assert accept(file, "v1", "--force")[0] == 0
    assert accept(tighter, "v2")[0] == 0
    assert "int8, accuracy: drop_points was 1 and is 2" in accept(run, "v3")[2]


def test_two_baselines_of_a_late_clock_are_accepted_again(accept: Command, tmp_path: Path) -> None:
    """Each was refused because of the other one."""
    run, names = write_release(tmp_path / "run"), ("v1", "v2")
    for name in names:
        assert accept(run, name)[0] == 0
    for day, name in enumerate(names, 1):
        file = tmp_path / f"baselines/{name}/support/run.json"
        record = read_record(file)
        assert record.accepted is not None
        late = record.accepted.model_copy(update={"at": f"2126-01-0{day}T00:00:00+00:00"})
        file.write_text(format_record_json(record.model_copy(update={"accepted": late})))
    assert accept(run, "v3")[0] == 4
    assert [accept(run, name, "--force")[0] for name in names] == [0, 0]
    assert accept(run, "v3")[0] == 0


def test_a_disk_that_fails_leaves_the_old_baseline(
    accept: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(write_release(tmp_path / "run"), "v1")
    replace, moved = os.replace, []

    def fails_at_the_second(source: Path, target: Path) -> None:
        moved.append(target)
        if len(moved) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_at_the_second)
    code, _, err = accept(write_release(tmp_path / "new", created="2026-11-02"), "v1", "--force")
    assert code == 4
    assert "No space left on device" in err
    assert read_baseline(tmp_path, "v1").created == "2026-11-01T08:00:00+00:00"
    assert os.listdir(tmp_path / "baselines/v1") == ["support"]


def test_a_baseline_replaced_by_a_looser_one_needs_a_reason(accept: Command, tmp_path: Path) -> None:
    accept(write_release(tmp_path / "v1"), "v1")
    looser = write_release(tmp_path / "looser", models={"int8": budget(2.0)})
    code, _, err = accept(looser, "v1", "--force")
    assert code == 4
    assert "drop_points was 1 and is 2; say why" in err
    code, out, _ = accept(looser, "v1", "--force", "--reason", "agreed")
    assert (code, "weaker: int8, accuracy: drop_points was 1 and is 2: agreed\n" in out) == (0, True)
    assert (read_baseline(tmp_path, "v1").accepted or pytest.fail("none")).against == "v1"


def test_a_folder_that_cannot_be_made_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = write_release(tmp_path / "run")
    code = main(["accept", str(run), "--name", "v1", "--baselines", str(run / "run.json")])
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (4, 1)
    assert "could not be kept there: Not a directory" in err


def test_an_interrupted_replacement_leaves_the_old_baseline(
    accept: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(write_release(tmp_path / "run"), "v1")
    replace, moved = os.replace, []

    def interrupted_at_the_second(source: Path, target: Path) -> None:
        moved.append(target)
        if len(moved) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        accept(write_release(tmp_path / "new", created="2026-11-02"), "v1", "--force")
    assert read_baseline(tmp_path, "v1").created == "2026-11-01T08:00:00+00:00"
    assert os.listdir(tmp_path / "baselines/v1") == ["support"]
