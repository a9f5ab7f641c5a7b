"""`slimgate tune` as a user runs it: real builds, real duels; the gate's rows cannot be read meanwhile."""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Command
from support.tuned_suite import write_repository
from support.user_repository import make_user_environment
from support.warm_python import run_module

from slimgate.cli.main import main
from slimgate.cli.tune import command as tune
from slimgate.plugins.rows import Rows
from slimgate.run import run as runs
from slimgate.run.rows import PreparedRows

pytestmark = pytest.mark.slow


class Unreadable(Rows):
    """Gate rows of which nothing can be had."""

    def __init__(self) -> None:
        object.__setattr__(self, "table", None)

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the search asked for {name} of the gate's rows")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("tune"))


@pytest.fixture
def tuned(run_command: Command, suite: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command with a gate that cannot be read."""
    prepare = runs.prepare_rows

    def poisoned(*arguments: Any) -> PreparedRows:
        rows = prepare(*arguments)
        return replace(rows, splits={**rows.splits, "gate": Unreadable()})

    monkeypatch.setattr(runs, "prepare_rows", poisoned)
    return partial(run_command, "tune", suite, "--store", suite.parent / "store")


def steps_of(trial: dict[str, Any]) -> str:
    return json.dumps(trial["steps"])


def test_a_search_ends_in_a_suite_that_the_gate_judges(tuned: Command, suite: Path) -> None:
    code, out, err = tuned("--json")
    search = json.loads(out)
    states = {steps_of(trial): trial["state"] for trial in search["trials"]}
    mild, hard = ({"magnitude_prune": {"sparsity": share}} for share in (0.05, 0.97))
    cut = {"prune_ffn": {"pruning_ratio": 0.001, "importance": "magnitude"}}
    assert states == {
        json.dumps([mild]): "timed",
        json.dumps([hard]): "beyond",
        json.dumps([mild, cut]): "failed",
        json.dumps([hard, cut]): "failed",
    }
    assert (code, search["stopped"]) == (0, "every step list was tried")
    assert search["split"] == "selection"
    by_state = {trial["state"]: trial for trial in search["trials"]}
    assert "step prune_ffn: " in by_state["failed"]["reason"]
    assert by_state["beyond"]["latency"] == {}  # pruned before its duel
    assert by_state["timed"]["quality"]["accuracy"]["n"] == 200
    assert by_state["timed"]["latency"]["b4x16"]["duel_rounds"] >= 12
    assert search["front"] == [by_state["timed"]["trial"]]
    assert search["chosen"] == [
        {"variant": "tuned-1", "trial": search["front"][0], "budget": 0, "inside": True}
    ]
    lines = [line for line in err.splitlines() if line.startswith("trial-")]
    assert len(lines) == 4
    assert "".join(lines).count("trial-") == 4 + 2  # builders name the trial too

    manifests = [json.loads(file.read_text()) for file in suite.parent.glob("store/outcomes/*/manifest.json")]
    assert {manifest["rows"] for manifest in manifests} == {200}  # the gate has 120

    # again, from the store: the same trials, artifacts and times
    again = json.loads(tuned("--json")[1])
    assert all(trial.pop("from_store", True) for trial in again["trials"])
    assert [{**trial, "from_store": True} for trial in again["trials"]] == [
        {**trial, "from_store": True} for trial in search["trials"]
    ]

    written = suite.with_name("suite_tuned.toml").read_text("utf-8")
    tables = tomllib.loads(written)
    assert set(tables) == {"suite", "variants"}
    assert tables["suite"] == {"title": "tiny (tuned)", "extends": "suite.toml", "opt_in": True}
    assert tables["variants"] == {"tuned-1": {"steps": [mild]}}
    judged = by_state["timed"]["quality"]["accuracy"]
    assert f"accuracy drop {judged['drop_points']:z.1f} [" in written
    assert "# b4x16 at least " in written

    arguments = ["suite_tuned.toml", "-q", "--slimgate-store", "store", "-k", "quality"]
    done = run_module(
        "pytest", [*arguments, "-p", "no:hypothesispytest"], suite.parent, make_user_environment()
    )
    assert done.returncode == 0, done.stdout
    assert "(1 PASS, 0 FAIL, 0 INCONCLUSIVE" in done.stdout
    record = json.loads((suite.parent / "reports/latest/suite_tuned/run.json").read_text())
    [variant] = [variant for variant in record["variants"] if variant["name"] == "tuned-1"]
    assert variant["quality"]["accuracy"]["n"] == 120
    assert variant["from_store"]


def test_an_interrupted_search_leaves_what_it_has(
    tuned: Command, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = tune._ProgressLines.print_trial

    def interrupted(self: tune._ProgressLines, trial: Any) -> None:
        tell(self, trial)
        if trial.figures is not None:
            raise KeyboardInterrupt  # a signal would be one to the worker that runs this test

    monkeypatch.setattr(tune._ProgressLines, "print_trial", interrupted)
    out = suite.with_name("interrupted.toml")
    _, printed, _ = tuned("--out", out, "--all")
    assert ": interrupted\n" in printed
    assert "tuned-1" in tomllib.loads(out.read_text())["variants"]


def test_the_time_limit_ends_a_search_that_then_writes_nothing(tuned: Command, suite: Path) -> None:
    out = suite.with_name("late.toml")
    code, printed, _ = tuned("--out", out, "--max-minutes", 1e-9)
    assert code == 1
    assert "the time limit of 1e-09 min is used up" in printed
    assert "nothing was written" in printed
    assert not out.exists()


def test_a_file_of_somebodys_own_is_not_overwritten(tuned: Command, suite: Path) -> None:
    code, _, err = tuned("--out", suite)
    assert code == 4
    assert err.endswith(
        "suite.toml: slimgate tune did not write this file from suite.toml and does not replace it; name "
        "another file with --out\n"
    )
    assert tuned("--out", suite.parent / "nowhere/x.toml")[0] == 4


def test_a_suite_without_the_table_says_so(capsys: pytest.CaptureFixture[str], suite: Path) -> None:
    plain = suite.with_name("plain.toml")
    plain.write_text(suite.read_text().partition("[tune]")[0])
    assert main(["tune", str(plain)]) == 4
    assert "plain.toml: has no [tune] table, which says what to search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--max-trials", "0", "a whole number of 1 or more"),
        ("--max-trials", "x", "a whole number of 1 or more"),
        ("--max-minutes", "-1", "minutes as a number above 0"),
        ("--max-minutes", "x", "minutes as a number above 0"),
        ("--seed", "-1", "a whole number from 0 to 4294967295"),
    ],
    ids=["no trial", "trials in words", "negative", "minutes in words", "seed"],
)
def test_wrong_numbers_are_refused_with_what_is_expected(
    capsys: pytest.CaptureFixture[str], suite: Path, option: str, value: str, expected: str
) -> None:
    assert main(["tune", str(suite), option, value]) == 4
    assert f"argument {option}: '{value}' was given, expected {expected}. See" in capsys.readouterr().err


def test_without_optuna_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", str(suite), "--store", str(suite.parent / "store")]) == 4
    assert 'slimgate tune needs an extra: pip install "slimgate[tune]"' in capsys.readouterr().err
