"""A part of a suite runs after a whole run: what it says is about itself, and the rest is dated or void."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.releases import seal
from support.user_repository import Ran, run_pytest

from fixtures.models.tiny import write_tiny_bert
from slimgate.cli.main import main

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "a model that was built elsewhere"
extends = "_common.toml"

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
released = { model = "../released", new_head = true }

[budgets]
accuracy = { drop_points = 5.0 }

[measure]
metrics = ["accuracy"]
"""
SUITE_FILE = "bench/elsewhere.toml"


def write_model(folder: Path, source: Path, *, broken: bool) -> None:
    """Copies a model to released/; broken: with embeddings of zeros."""
    from safetensors.torch import load_file, save_file

    (folder / "released").mkdir(exist_ok=True)
    for file in source.iterdir():
        (folder / "released" / file.name).write_bytes(file.read_bytes())
    if broken:
        weights = load_file(source / "model.safetensors")
        zeros = {name: tensor * ("embeddings" not in name) for name, tensor in weights.items()}
        save_file(zeros, folder / "released/model.safetensors", metadata={"format": "pt"})


def ran(folder: Path, *arguments: str) -> Ran:
    """A run, with its record as it was afterwards."""
    session = run_pytest(folder, SUITE_FILE, "-q", *arguments)
    return Ran(
        session.code, session.out, session.seconds, folder, session.lines, {"s": session.record("elsewhere")}
    )


@pytest.fixture(scope="module")
def full_run(repository: Path) -> Ran:
    """All tests but those that take times."""
    write_tiny_bert(repository / "model", initializer_range=0.2)
    (repository / SUITE_FILE).write_text(SUITE)
    write_model(repository, repository / "model", broken=False)
    return ran(repository, "-k", "not latency")


@pytest.fixture(scope="module")
def replaced(full_run: Ran) -> Ran:
    """One variant's tests, after the weights of the other were replaced by broken ones."""
    write_model(full_run.folder, full_run.folder / "model", broken=True)
    return ran(full_run.folder, "-k", "same and accuracy")


@pytest.fixture(scope="module")
def judged(replaced: Ran) -> Ran:
    """The test that judges the broken model."""
    return ran(replaced.folder, "-k", "released and accuracy")


@pytest.fixture(scope="module")
def after_fail(judged: Ran) -> Ran:
    """One variant's test again, while the record holds the FAIL of the other."""
    return ran(judged.folder, "-k", "same and accuracy")


def status_lines(run: Ran) -> list[str]:
    """What is said of the suite at the end, without the path of the report."""
    at = next(
        i for i, line in enumerate(run.lines) if line.startswith(f"{SUITE_FILE}: ") and " PASS, " in line
    )
    return [line.partition(" reports/")[0].removesuffix(":") for line in run.lines[at : at + 2]]


def test_a_replaced_model_has_no_verdict_until_judged_again(full_run: Ran, replaced: Ran) -> None:
    assert full_run.find_variant("s", "released")["quality"]["accuracy"]["verdict"] == "PASS"
    assert replaced.code == 0
    assert replaced.find_variant("s", "released")["quality"] == {}
    assert replaced.find_variant("s", "released")["awaited"] == ["accuracy"]
    assert replaced.record("s")["verdict"]["status"] == "partial"
    line, record = status_lines(replaced)
    assert line.startswith(f"{SUITE_FILE}: PASS (1 PASS, 0 FAIL")
    assert record.startswith("  whole record: partial (1 PASS, 0 FAIL")
    assert "  released: 3 earlier results dropped, because the model, its teacher, the rows" in replaced.out
    report = (replaced.folder / "reports/latest/elsewhere/report.md").read_text()
    assert "released" not in report.partition("What to ship")[2].partition("Before you trust")[0]


def test_the_line_of_a_run_agrees_with_its_exit_code(judged: Ran, after_fail: Ran) -> None:
    assert judged.code == 1
    assert status_lines(judged)[0].startswith(f"{SUITE_FILE}: FAIL (0 PASS, 1 FAIL")
    assert after_fail.code == 0
    line, record = status_lines(after_fail)
    assert line.startswith(f"{SUITE_FILE}: PASS (1 PASS, 0 FAIL")
    assert record.startswith("  whole record: FAIL (1 PASS, 1 FAIL")
    assert "results from 20" in record


def test_every_report_says_that_the_record_is_partial(after_fail: Ran) -> None:
    folder = after_fail.folder / "reports/latest"
    for file in ("elsewhere/report.md", "report.md", "report.html", "pr-comment.md", "elsewhere/report.html"):
        assert "results from 20" in (folder / file).read_text(), file
    assert "measured 20" in next(line for line in after_fail.lines if line.startswith("released "))


def test_a_partial_record_needs_a_reason_to_become_a_baseline(
    after_fail: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["accept", str(after_fail.folder / "reports/latest/elsewhere"), "--name", "v1"]
    where = ["--baselines", str(after_fail.folder / "baselines")]
    assert main([*run, *where]) == 4
    assert "the run is FAIL" in capsys.readouterr().err
    assert main([*run, *where, "--reason", "to show it"]) == 0
    assert "partial: " in capsys.readouterr().out


def test_another_budget_says_that_it_made_earlier_results_void(after_fail: Ran) -> None:
    (after_fail.folder / SUITE_FILE).write_text(SUITE.replace("drop_points = 5.0", "drop_points = 6.0"))
    again = ran(after_fail.folder, "-k", "same and accuracy")
    why = "because [measure], a budget or a metric's code has changed: quality accuracy"
    assert f"  released: 1 earlier result dropped, {why}" in again.out


def test_another_library_makes_all_earlier_results_void(after_fail: Ran) -> None:
    file = after_fail.folder / "reports/latest/elsewhere/run.json"
    record = json.loads(file.read_text("utf-8"))
    now = record["machine"]["libraries"]["numpy"]
    record["machine"]["libraries"]["numpy"] = "1.0"
    file.write_text(json.dumps(record), "utf-8")
    seal(file)
    again = ran(after_fail.folder, "-k", "same and accuracy")
    why = f"because the machine or its libraries changed: numpy 1.0 → {now}"
    assert [line for line in again.lines if why in line and "earlier results dropped" in line]
    assert "accuracy" not in again.find_variant("s", "released")["quality"]
