"""A run in a workflow: annotations, the step's summary, the comment; and JUnit properties of a gate."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.user_repository import run_pytest

from slimgate.report.pr_comment import LIMIT, MARKER

pytestmark = pytest.mark.slow

WANTED = ("bench/one.toml", "-k", "quality and accuracy and (same or damaged)", "--junitxml", "junit.xml")


def test_a_failing_gate_is_reported_where_reviewers_look(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository.parent))
    ran = run_pytest(repository, *WANTED)
    assert ran.code == 1
    (line,) = [line for line in ran.lines if line.startswith("::error ")]
    assert line.startswith(
        f"::error file={repository.name}/bench/one.toml,title=slimgate%3A damaged%2C accuracy::"
        "damaged: accuracy"
    )
    comment = (repository / "reports/latest/pr-comment.md").read_text()
    assert comment.startswith(f"{MARKER}\n\n## slimgate: steps of our own\n\n**FAIL** · ")
    assert len(comment) < LIMIT
    assert summary.read_text() == f"{comment}\n"
    assert (repository / "reports/latest/one/pr-comment.md").read_text() == comment

    cases = {case.get("name"): case for case in ElementTree.parse(repository / "junit.xml").iter("testcase")}
    damaged = cases["test_quality[damaged-accuracy]"]
    properties = {element.get("name"): element.get("value") for element in damaged.iter("property")}
    assert (properties["slimgate.metric"], properties["slimgate.verdict"]) == ("accuracy", "FAIL")
    assert properties["slimgate.budget.drop_points"] == "5.0"
    assert float(str(properties["slimgate.drop_points"])) > 5
    low, high = map(float, str(properties["slimgate.interval"]).strip("[]").split(", "))
    assert low < float(str(properties["slimgate.drop_points"])) < high


def test_elsewhere_nothing_is_annotated(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    ran = run_pytest(repository, *WANTED)
    assert ran.code == 1
    assert not [line for line in ran.lines if line.startswith("::")]


def test_a_summary_that_cannot_be_written_changes_no_verdict(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "not" / "mounted"))
    ran = run_pytest(repository, *WANTED)
    assert ran.code == 1
    assert "INTERNALERROR" not in ran.out
    assert "slimgate: no summary of the step was written: " in ran.out
