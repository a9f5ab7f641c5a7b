"""tools/attack: what it denies, how it shrinks; and that it finds nothing here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.attack.claims import Judged, Truth, list_claims
from tools.attack.processes import Processes
from tools.attack.project import Project
from tools.attack.search import draw_sequence, run_sequence, run_sequences, shrink
from tools.attack.world import Shared, Step, World, action
from tools.attack.worlds import WORLDS
from tools.attack.worlds.log_folders import LogFolders
from tools.attack.worlds.predictions import Predictions

PLACE = "small/quality/accuracy"
TRUTH = Truth(1, {PLACE: Judged("PASS", 0.9, 0.91), "tiny/quality/accuracy": Judged("FAIL", 0.5, 0.91)}, "")


@pytest.mark.parametrize(
    ("place", "claim", "reason"),
    [
        (PLACE, Judged("PASS", 0.9, 0.91), None),
        (PLACE, Judged("PASS", 0.9, 0.95), "other figures"),
        ("tiny/quality/accuracy", Judged("PASS", 0.9, 0.91), "from scratch it is FAIL"),
        ("small/quality/mcc", Judged("PASS", 0.9, 0.91), "no such verdict"),
    ],
    ids=["the same", "another teacher", "a FAIL", "an unknown budget"],
)
def test_a_pass_is_denied_unless_the_truth_has_it(place: str, claim: Judged, reason: str | None) -> None:
    denied = TRUTH.deny(place, claim)
    assert denied is None if reason is None else reason in str(denied)


def test_claims_are_the_verdicts_of_variants_without_times() -> None:
    budget = {"kind": "drop_points", "verdict": "PASS", "value": None}
    accuracy = {"verdict": "PASS", "value": 0.9, "teacher": 0.91, "budgets": [budget]}
    small = {"name": "small", "quality": {"accuracy": accuracy}, "latency": {"b1": {"verdict": "PASS"}}}
    assert list_claims({"variants": [{"name": "teacher", "quality": {}}, small]}) == {
        PLACE: Judged("PASS", 0.9, 0.91),
        f"{PLACE}/budgets/drop_points": Judged("PASS"),
    }


class Doors(World):
    """Its property breaks where a door was opened, and then the wind blew."""

    name = "doors"
    closing = ("blow",)

    def write_project(self) -> None:
        self.project.write("door.txt", "shut")

    @action(5)
    def wait(self, draw: random.Random) -> str:
        return "nothing happens"

    @action(1)
    def open_door(self, draw: random.Random) -> str:
        self.project.write("door.txt", "open")
        return "door.txt = open"

    @action(1)
    def blow(self, draw: random.Random) -> str:
        if self.project.read("door.txt") == b"open":
            self.deny("doors", "it was shut", "it is open")
        return "the wind blows"


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes() as server:
        yield server


def test_a_sequence_is_shrunk_to_what_breaks(processes: Processes, tmp_path: Path) -> None:
    shared = Shared(processes, tmp_path)
    names = ("wait", "blow", "open_door", "wait", "open_door", "wait", "blow")
    ran = run_sequence(Doors, [Step(name, 0) for name in names], shared)
    assert ran.wrong is not None
    assert ran.wrong.outputs == ["it is open"]
    assert [step.action for step in shrink(Doors, ran, shared).steps] == ["open_door", "blow"]


def test_one_bug_of_many_sequences_is_listed_once() -> None:
    report = run_sequences(range(20), worlds=[Doors])
    assert report.sequences == 20
    assert len(report.bugs) == 1
    assert 0 < report.again.total() < 20
    assert "1. door.txt = open\n  2. blow: it was shut" in str(report)


def test_a_seed_draws_the_same_sequence_each_time() -> None:
    drawn = [draw_sequence(seed) for seed in range(50)]
    assert drawn == [draw_sequence(seed) for seed in range(50)]
    assert {world for world, _ in drawn} == set(WORLDS)


def test_a_command_sees_its_folder_variables_and_present_code(processes: Processes, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("main.py", "import os, helper; print(os.getcwd(), os.environ['X']); exit(helper.CODE)")
    for code in (3, 4):
        project.write("packages/helper.py", f"CODE = {code}")
        done = processes.run("main", [], tmp_path, {"X": "x", "PYTHONPATH": "packages"})
        assert done.code == code, done.text
        assert done.text == f"{tmp_path} x\n"


def test_the_state_is_of_bytes_and_leaves_results_out(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("model/weights", b"ab")
    before, moment = project.digest_state(), project.read_modified("model/weights")
    project.tick()
    project.touch("model/weights")
    project.write("reports/latest/gate/run.json", "{}")
    assert project.digest_state() == before
    project.write("model/weights", b"ac", at=moment)
    assert project.digest_state() != before


def test_three_sequences_of_logs_have_no_wrong_pass() -> None:
    report = run_sequences(range(3), worlds=[LogFolders, Predictions])
    assert report.sequences == 3
    assert not report.bugs, str(report)


@pytest.mark.slow
def test_a_sequence_of_each_world_has_no_wrong_pass() -> None:
    """`tox -e attack` tries 300 every night."""
    seeds = {draw_sequence(seed)[0].name: seed for seed in reversed(range(50))}
    report = run_sequences(sorted(seeds.values()))
    assert report.worlds == {world.name: 1 for world in WORLDS}
    assert not report.bugs, str(report)
