"""The reader of CONTRIBUTING is one file: the command, suites of logs and the list of formats know it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.doc_blocks import list_blocks

ROOT = Path(__file__).parents[2]
[READER] = [
    block.text for block in list_blocks("CONTRIBUTING.md", "python") if "reader = Lines()" in block.text
]
SUITE = """\
[logs]
base = "base.scores"
targets = { same = "same.scores", worse = "worse.scores" }
[budgets]
"*" = { drop_points = 2.0 }
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of slimgate with the reader, and scores of a base, of a target like it, and of a worse one."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "slimgate", tmp_path / "slimgate", ignore=ignored)
    (tmp_path / "slimgate/logs/readers/lines.py").write_text(READER, "utf-8")
    for name, wrong in (("base", 40), ("same", 40), ("worse", 90)):
        lines = (f"s{k} {float(k >= wrong)}\n" for k in range(400))
        (tmp_path / f"{name}.scores").write_text("".join(lines), "utf-8")
    (tmp_path / "logs.toml").write_text(SUITE, "utf-8")
    return tmp_path


def _run_command(folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_and_a_suite_of_logs_know_it(copy: Path) -> None:
    code, out = _run_command(
        copy, "slimgate.cli.main", "judge", "base.scores", "same.scores", "--drop-points", "2"
    )
    assert code == 0, out
    assert "read as logs of lines" in out
    code, out = _run_command(
        copy, "slimgate.cli.main", "judge", "base.scores", "worse.scores", "--drop-points", "2"
    )
    assert code == 1, out
    code, out = _run_command(
        copy, "pytest", "-p", "slimgate.plugin", "-p", "no:cacheprovider", "-v", "logs.toml"
    )
    assert code == 1, out
    assert "test_logs[same-task/score] PASSED" in out
    assert "test_logs[worse-task/score] FAILED" in out


def test_a_file_that_no_reader_knows_names_it_among_the_formats(copy: Path) -> None:
    (copy / "x.other").write_text("1", "utf-8")
    code, out = _run_command(copy, "slimgate.cli.main", "judge", "x.other", "base.scores", "--format", "lins")
    assert code == 4
    assert "Did you mean lines?" in out
