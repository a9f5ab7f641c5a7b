"""[budgets.baseline]: a variant that lost more than it may since the last release fails the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.releases import seal
from support.user_repository import Ran, run_pytest

from slimgate.cli.main import main
from slimgate.judge.quality import UNCHANGED

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "held against the last release"
extends = "_common.toml"

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
inverted = { steps = [{ "own_steps:Invert" = {} }] }
"""
SINCE = """
[budgets.baseline]
file = "../reports/baselines"
accuracy = { drop_points = 5.0 }
"""
# Why the gate demands less than v1.
AGREED = SINCE.replace("file =", 'reason = "agreed with support"\nfile =')
LATE = 'late = { steps = [{ "own_steps:Same" = {} }] }\n'


def run(repository: Path, text: str, *arguments: str) -> Ran:
    (repository / "bench/three.toml").write_text(text)
    return run_pytest(repository, "bench/three.toml", "-v", "-k", "quality or baseline", *arguments)


@pytest.fixture(scope="module")
def released(repository: Path) -> Path:
    """A repository whose first release is a baseline."""
    assert run(repository, SUITE).code == 0
    latest, baselines = repository / "reports/latest/three", repository / "reports/baselines"
    argv = ["accept", str(latest), "--name", "v1", "--baselines", str(baselines), "--reason", "quality alone"]
    assert main(argv) == 0
    return repository


def test_an_unchanged_variant_holds_and_a_new_one_is_called_new(released: Path) -> None:
    ran = run(released, SUITE + LATE + SINCE)
    assert ran.code == 0
    assert ran.find_outcome("bench/three.toml::test_baseline[same-accuracy]") == "PASSED"
    same, late = (ran.find_variant("three", name)["since_baseline"]["accuracy"] for name in ("same", "late"))
    assert (same["verdict"], same["drop_points"], same["n"], same["new"]) == ("PASS", 0.0, 400, False)
    assert same["budgets"][0]["on_inconclusive"] == "fail"
    assert (same["interval"], same["message"].endswith(UNCHANGED)) == ([0.0, 0.0], True)
    assert (late["verdict"], late["new"], late["budgets"]) == (None, True, [])
    assert late["waiting"] == [
        {"kind": "drop_points", "limit": 5.0, "reason": None, "on_inconclusive": "fail"}
    ]
    assert late["message"] == "late: accuracy against the baseline v1: new since then, not gated"
    assert ran.record("three")["baseline"]["name"] == "v1"
    assert ran.record("three")["baseline"]["path"] == "reports/baselines/v1/three/run.json"
    # far behind its teacher, and as it was: it is held against itself
    inverted = ran.find_variant("three", "inverted")["since_baseline"]["accuracy"]
    assert (inverted["verdict"], inverted["drop_points"]) == ("PASS", 0.0)
    assert inverted["baseline"] == inverted["value"] < same["value"] - 0.5
    report = (released / "reports/latest/three/report.md").read_text()
    assert "- **New since the baseline v1**, so not compared with it: late." in report
    assert "# v1 → this run" in (released / "reports/latest/three/compare.md").read_text()


def test_a_variant_that_got_another_name_is_reported_at_the_top(released: Path) -> None:
    renamed = SUITE.replace("same =", "renamed =")
    refused = run(released, renamed + SINCE)
    assert (refused.code, "  same is gone, with its budgets" in refused.lines) == (4, True)
    ran = run(released, renamed + AGREED)
    assert ran.code == 0
    new = "New since the baseline v1, so not compared with it: renamed."
    gone = (
        "Gone since the baseline, with their budgets: same; a variant that is only renamed is compared with"
    )
    assert any(line.startswith(gone) for line in ran.lines)
    assert new in ran.lines
    for name in ("report.md", "pr-comment.md"):
        text = (released / "reports/latest/three" / name).read_text()
        assert text.index("- **New since the baseline v1**") < text.index("Before you trust this")


OF_TEACHER = "[budgets.teacher.baseline]\naccuracy = { drop_points = 5.0 }\n"


def test_a_teacher_that_lost_too_much_since_then_fails(released: Path) -> None:
    passing = run(released, SUITE + SINCE + OF_TEACHER)
    assert passing.code == 0
    assert passing.find_outcome("bench/three.toml::test_baseline[teacher-accuracy]") == "PASSED"
    worse = '[teacher]\nsteps = [{ "own_steps:Invert" = {} }]\n'
    refused = run(released, SUITE + worse + SINCE + OF_TEACHER)
    assert (refused.code, "[teacher] steps was [] and is" in refused.out) == (4, True)
    ran = run(released, SUITE + worse + AGREED + OF_TEACHER)
    assert ran.code == 1
    assert ran.find_outcome("bench/three.toml::test_baseline[teacher-accuracy]") == "FAILED"
    facts = ran.find_variant("three", "teacher")["since_baseline"]["accuracy"]
    assert facts["verdict"] == "FAIL"
    assert facts["message"].startswith("teacher: accuracy 0.")
    assert facts["message"] in ran.record("three")["verdict"]["messages"]
    report = (released / "reports/latest/three/report.md").read_text()
    assert "- **The teacher is near chance**: its accuracy 0." in report
    assert "| teacher  | accuracy |" in report


def test_a_variant_that_lost_too_much_since_then_fails(released: Path) -> None:
    worse = SUITE.replace("own_steps:Same", "own_steps:Invert")
    ran = run(released, worse + SINCE)
    assert ran.code == 1
    assert ran.find_outcome("bench/three.toml::test_baseline[same-accuracy]") == "FAILED"
    facts = ran.find_variant("three", "same")["since_baseline"]["accuracy"]
    assert facts["verdict"] == "FAIL"
    assert facts["message"].startswith("same: accuracy 0.")
    assert " in the baseline v1, drop " in facts["message"]
    verdict = ran.record("three")["verdict"]
    assert (verdict["status"], verdict["failed"]) == ("FAIL", 1)
    for name in ("report.md", "pr-comment.md", "report.html"):
        text = (released / "reports/latest/three" / name).read_text()
        assert " in the baseline v1, drop " in text
        assert "Since the baseline v1" in text


def test_other_gate_rows_leave_the_baseline_undecided(released: Path) -> None:
    other = (
        SUITE + AGREED + "\n[task]\nsplits = { train = 200, calibration = 16, selection = 40, gate = 380 }\n"
    )
    ran = run(released, other, "-n", "1")
    assert ran.code == 1
    facts = ran.find_variant("three", "same")["since_baseline"]["accuracy"]
    assert facts["verdict"] == "INCONCLUSIVE"
    assert facts["message"] == (
        "same: accuracy against the baseline v1, budget drop_points 5: INCONCLUSIVE, "
        "the gate rows are other ones (the digests of the split differ)"
    )
    assert facts["drop_points"] is None
    warned = run(released, other + '\n[measure]\non_inconclusive = "warn"\n')
    assert (warned.code, warned.record("three")["verdict"]["status"]) == (0, "INCONCLUSIVE")


def test_without_its_baseline_nothing_is_run(released: Path) -> None:
    elsewhere = SINCE.replace("../reports/baselines", "../reports/none.json")
    ran = run(released, SUITE + elsewhere)
    assert ran.code == 4
    assert "bench/three.toml [budgets.baseline] file " in ran.out
    assert "cannot be read: No such file or directory" in ran.out
    assert "Traceback" not in ran.out
    assert "PASSED" not in ran.out


def test_answers_other_than_the_records_are_not_tested_against(released: Path) -> None:
    file = released / "reports/baselines/v1/three/run.json"
    text = file.read_text()
    record = json.loads(text)
    record["variants"][1]["quality"]["accuracy"]["value"] = 0.125
    file.write_text(json.dumps(record))
    seal(file)
    ran = run(released, SUITE + SINCE)
    file.write_text(text)
    facts = ran.find_variant("three", "same")["since_baseline"]["accuracy"]
    assert (ran.code, facts["verdict"]) == (1, "INCONCLUSIVE")
    assert "its outcomes are of another run than its record: accuracy of the answers is" in facts["message"]


def test_a_pass_near_chance_is_at_the_top_of_the_report(released: Path) -> None:
    budget = "[budgets.variants.inverted]\naccuracy = { floor = 0.01 }\n"
    ran = run(released, SUITE + budget)
    assert ran.code == 0
    report = (released / "reports/latest/three/report.md").read_text()
    assert "- **inverted passes near chance**: its accuracy 0." in report
    assert "same passes near chance" not in report
