"""No earlier result counts after a file or a variable has changed that the user's code reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

from slimgate.cli.main import main

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "a metric with settings"
extends = "_common.toml"

[task]
splits = { train = 200, calibration = 16, selection = 40, gate = 400, confirm = 300 }

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
again = { steps = [{ "own_steps:Same" = {} }, { "own_steps:Same" = {} }] }

[budgets]
"set_metrics:SET" = { drop_points = 5.0 }
"""
METRIC = """\
import os
from dataclasses import replace
from pathlib import Path

from slimgate.judge.metrics.classification import METRICS

SETTINGS = [path.read_text() for path in Path(__file__).parent.glob("sett*/*")]
MODE = os.environ.get("-".join(SETTINGS))
SET = replace(METRICS["accuracy"], name="set_accuracy")
"""
SUITE_FILE, VARIABLE = "bench/mine.toml", "SET_BY_USER"
QUALITY = "not latency and not speedup"


def run_shard(folder: Path, number: int) -> Path:
    report = folder / f"shard-{number}"
    options = (f"--slimgate-shard={number}/2", f"--slimgate-report={report}", "-q", "-k", QUALITY)
    ran = run_pytest(folder, SUITE_FILE, *options)
    assert (report / "mine/run.json").is_file(), ran.out
    return report / "mine"


@pytest.fixture(scope="module")
def gate(repository: Path) -> Ran:
    (repository / SUITE_FILE).write_text(SUITE)
    (repository / "set_metrics.py").write_text(METRIC)
    (repository / "settings").mkdir()
    (repository / "settings/variable").write_text(VARIABLE)
    ran = run_pytest(repository, SUITE_FILE, "-q", "-k", QUALITY)
    return Ran(ran.code, ran.out, ran.seconds, repository, ran.lines, {"mine": ran.record("mine")})


def change(gate: Ran, monkeypatch: pytest.MonkeyPatch, kind: str) -> str:
    """Changes the file or the variable, and returns its name in messages."""
    if kind == "file":
        (gate.folder / "settings/variable").write_text("ANOTHER_ONE")
        return "settings/variable"
    monkeypatch.setenv(VARIABLE, "strict")
    return f"${VARIABLE}"


@pytest.fixture(params=["file", "variable"])
def changed(gate: Ran, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    (gate.folder / "settings/variable").write_text(VARIABLE)
    (gate.folder / "reports/latest/mine/run.json").write_text(json.dumps(gate.record("mine")))
    return change(gate, monkeypatch, request.param)


def test_the_record_lists_what_the_code_reads(gate: Ran) -> None:
    assert gate.code == 0, gate.out
    reads = gate.record("mine")["code_reads"]
    assert reads[f"${VARIABLE}"] == "missing"
    assert {"settings", "settings/variable"} <= set(reads)


def test_a_partial_run_drops_earlier_results(gate: Ran, changed: str) -> None:
    ran = run_pytest(gate.folder, SUITE_FILE, "-q", "-k", f"same and {QUALITY}")
    assert f"dropped, because what your code reads has changed: {changed}" in ran.out
    assert ran.find_variant("mine", "again")["quality"] == {}
    assert ran.find_variant("mine", "same")["quality"]["set_metrics:SET"]["verdict"] == "PASS"


def test_confirm_refuses_earlier_results(gate: Ran, changed: str) -> None:
    ran = run_pytest(gate.folder, SUITE_FILE, "-q", "--slimgate-confirm")
    assert (ran.code, f"{changed}, which your code reads, changed since" in ran.out) == (4, True)


def test_confirm_takes_results_of_unchanged_reads(gate: Ran) -> None:
    (gate.folder / "settings/variable").write_text(VARIABLE)
    (gate.folder / "reports/latest/mine/run.json").write_text(json.dumps(gate.record("mine")))
    ran = run_pytest(gate.folder, SUITE_FILE, "-q", "--slimgate-confirm")
    assert ran.code == 0, ran.out
    assert ran.record("mine")["code_reads"] == gate.record("mine")["code_reads"]


@pytest.mark.parametrize("kind", ["file", "variable"])
def test_shards_of_changed_reads_do_not_merge(
    gate: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.chdir(gate.folder)
    (gate.folder / "settings/variable").write_text(VARIABLE)
    shards = [run_shard(gate.folder, 1)]
    name = change(gate, monkeypatch, kind)
    shards.append(run_shard(gate.folder, 2))
    assert main(["merge", *map(str, shards), "--out", str(gate.folder / "merged")]) == 4
    assert f"{name}, which your code reads" in capsys.readouterr().err
