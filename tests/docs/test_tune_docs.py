"""docs/tune.md: its suite is searched and judged by its commands as they stand there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from support.doc_blocks import list_blocks, list_commands
from support.user_repository import make_user_environment
from support.warm_python import run_module

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.cli.main import main

pytestmark = pytest.mark.slow

DOC = (Path(__file__).parents[2] / "docs/tune.md").read_text("utf-8")
COMMANDS = list_commands("docs/tune.md")
[SUITE] = list_blocks("docs/tune.md", "toml")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A user's repository with model/ and bench/."""
    write_tiny_bert(tmp_path / "model", initializer_range=0.2)
    bench = tmp_path / "bench"
    bench.mkdir()
    write_rows(bench / "train.csv", 400, seed=1)
    rows = write_rows(bench / "gate.csv", 120, seed=2).read_text("utf-8").splitlines()
    gate_rows = [line.replace(",", f" {'the ' * (i % 7 + 1)},", 1) for i, line in enumerate(rows[1:])]
    (bench / "gate.csv").write_text("\n".join([rows[0], *gate_rows]) + "\n", "utf-8")
    (bench / "reviews.toml").write_text(SUITE.text, "utf-8")
    return tmp_path


def test_the_commands_search_and_judge(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search, judge = (shlex.split(command) for command in COMMANDS)
    monkeypatch.chdir(repository)
    monkeypatch.delenv("SLIMGATE_STORE", raising=False)
    assert search[0] == "slimgate"
    assert main(search[1:]) in (0, 1)  # whether a tiny model holds a budget is not the point
    assert "bench/reviews_tuned.toml: tuned-1" in capsys.readouterr().out
    written = tomllib.loads((repository / judge[1]).read_text("utf-8"))
    assert set(written["budgets"]["variants"]) == set(written["variants"])
    options = [*judge[1:], "-q", "-k", "quality", "-p", "no:hypothesispytest"]
    done = run_module(judge[0], options, repository, make_user_environment())
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "bench/reviews_tuned.toml: " in done.stdout
    for name in written["variants"]:
        assert f"\n{name} " in done.stdout  # a line of the summary's table


def test_every_option_of_the_command_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tune", "--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert options - {"--help", "--store", "--device"} <= set(re.findall(r"--[a-z][a-z-]+", DOC))
