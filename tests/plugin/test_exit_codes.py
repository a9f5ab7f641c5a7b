"""The exit code follows the record: marks of a user's own tests cannot turn a FAIL into success."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "what the exit code says"
extends = "_common.toml"

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
damaged = { steps = [{ "own_steps:Invert" = {} }] }

[budgets]
accuracy = { drop_points = 5.0 }
"""
ONLY_SLICES = (
    SUITE.replace("[budgets]", "[budgets.slices]")
    .replace('damaged = { steps = [{ "own_steps:Invert" = {} }] }', "")
    .replace("5.0", "1.0")
)
MARK = """\
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if "damaged" in item.name:
            item.add_marker(pytest.mark.MARK)
"""


def run(folder: Path, suite: str, *arguments: str, mark: str = "") -> Ran:
    (folder / "bench/mine.toml").write_text(suite)
    (folder / "bench/conftest.py").write_text(MARK.replace("MARK", mark) if mark else "")
    return run_pytest(folder, "bench/mine.toml", "-q", *arguments)


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("xfail(reason='known')", "what this run judged is FAIL"),
        ("skip(reason='known')", "skipped although they have a budget: test_quality[damaged-accuracy]"),
        ("xfail(reason='known', run=False)", "what this run judged is FAIL"),
    ],
    ids=["xfail", "skip", "not-run"],
)
def test_a_mark_makes_no_gate_hold(repository: Path, mark: str, reason: str) -> None:
    ran = run(repository, SUITE, "-k", "accuracy", mark=mark)
    assert "1 passed" in ran.lines[-1]
    assert " failed" not in ran.lines[-1]
    assert f"exit code 1: bench/mine.toml: {reason}" in ran.lines
    assert ran.code == 1


def test_what_is_left_out_on_the_command_line_fails_nothing(repository: Path) -> None:
    ran = run(repository, SUITE, "-k", "accuracy and same")
    assert (ran.code, "exit code" in ran.out) == (0, False)


def test_undecided_slices_are_no_success_unless_they_only_warn(repository: Path) -> None:
    text = ONLY_SLICES.replace("[budgets.slices]", "[measure]\non_inconclusive = WISH\n\n[budgets.slices]")
    failed = run(repository, text.replace("WISH", '"fail"'), "-k", "behaviour")
    assert failed.code == 1
    assert "budget 1 point: INCONCLUSIVE, 0 inside, 2 undecided (worst:" in failed.out
    warned = run(repository, text.replace("WISH", '"warn"'), "-k", "behaviour")
    assert warned.code == 0
    assert "bench/mine.toml: INCONCLUSIVE (0 PASS, 0 FAIL, 1 INCONCLUSIVE, which only warns" in warned.out
    suite = ONLY_SLICES.replace("1.0 }", '1.0, on_inconclusive = "warn" }')
    assert run(repository, suite, "-k", "behaviour").code == 0


def test_a_fixture_of_a_users_own_takes_no_place_in_a_gate(repository: Path) -> None:
    (repository / "bench/mine.toml").write_text(SUITE)
    fixture = "import pytest\n\n@pytest.fixture\ndef teacher(variant):\n    return variant\n"
    (repository / "bench/conftest.py").write_text(fixture)
    ran = run_pytest(repository, "bench/mine.toml", "-q", "-k", "accuracy")
    (repository / "bench/conftest.py").unlink()
    assert ran.code == 4
    assert 'bench defines a fixture "teacher" that replaces slimgate\'s, which the gates need' in ran.out


def test_a_run_that_judges_nothing_names_earlier_records(fresh_repository: Path) -> None:
    line = "reports/latest: its records come from an earlier run, because this run judged nothing"
    wrong = SUITE.replace("5.0", "-5.0")
    first = run(fresh_repository, wrong)
    assert (first.code, line in first.out) == (4, False), "there is no record yet"
    folder = fresh_repository / "reports/latest/mine"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    ran = run(fresh_repository, wrong)
    assert (ran.code, line in ran.out) == (4, True)
    assert (folder / "run.json").is_file()
    assert line not in run(fresh_repository, wrong, "--slimgate-plan").out


def test_a_device_that_is_not_here_replaces_no_record(repository: Path) -> None:
    assert run(repository, SUITE, "-k", "same-accuracy").code == 0
    record = repository / "reports/latest/mine/run.json"
    before = record.read_bytes()
    ran = run(repository, SUITE, "-k", "same-accuracy", "--slimgate-device", "cudda")
    assert ran.code == 4
    assert any(line.startswith("ERROR: --slimgate-device cudda: PyTorch ") for line in ran.lines), ran.lines
    assert record.read_bytes() == before
