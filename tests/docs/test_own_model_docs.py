"""docs/own_model.md: its commands write a suite, plan it and run it, as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from support.doc_blocks import list_commands
from support.user_repository import make_user_environment
from support.warm_python import run_module

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.cli.main import main
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.plugins.task import Task

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs/own_model.md").read_text("utf-8")
COMMANDS = [shlex.split(command) for command in list_commands("docs/own_model.md")]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """model/ and reviews.csv, as the page has them."""
    write_tiny_bert(tmp_path / "model", initializer_range=0.2)
    write_rows(tmp_path / "reviews.csv", 300)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLIMGATE_STORE", raising=False)
    return tmp_path


def test_the_commands_gate_a_model(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init, plan, judge = COMMANDS
    assert main([*init[1:], "--yes"]) == 0
    assert "bench/reviews.toml: text_classification" in capsys.readouterr().out

    planned = run_module(plan[0], plan[1:], repository, make_user_environment())
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "gate rows: NO" not in planned.stdout
    assert "can the gate rows decide it?" in planned.stdout
    assert "accuracy drop_points" in planned.stdout

    options = [*judge[1:], "-q", "-k", "quality", "-p", "no:hypothesispytest"]
    done = run_module(judge[0], options, repository, make_user_environment())
    assert done.returncode in (0, 1), (
        done.stdout + done.stderr
    )  # whether a tiny student holds is not the point
    record = json.loads((repository / "reports/latest/reviews/run.json").read_text("utf-8"))
    models = {model["name"]: model for model in record["variants"]}
    assert list(models) == ["teacher", "student", "int8", "student-int8", "pruned-50"]
    assert models["teacher"]["quality"]["accuracy"]["value"] > 0.7
    assert models["int8"]["quality"]["accuracy"]["verdict"] == "PASS"
    assert (repository / "reports/latest/reviews/report.md").is_file()


def test_every_option_and_every_task_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert options <= set(re.findall(r"--[a-z][a-z-]+", DOC))
    guessing = {
        name for name in list_known_plugins("task") if type(load("task", name)).guess is not Task.guess
    }
    assert guessing - {"sentence_similarity"} <= set(re.findall(r"`(\w+)`", DOC))
