"""Reports that cannot be written, or whose writing is stopped, are one line, and the verdicts are printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

pytestmark = pytest.mark.slow

OWN_BLOCKS = '''
"""A step after which reports is a file, so that nothing can be written into it."""

import shutil
from pathlib import Path

from own_steps import OwnStep


class Blocks(OwnStep):
    def apply(self, model, params, context):
        shutil.rmtree("reports", ignore_errors=True)
        Path("reports").touch()
        return model
'''

SUITE = """\
[suite]
title = "where do the reports go?"
extends = "_common.toml"

[variants]
same = { steps = [{ "own_blocks:Blocks" = {} }] }

[budgets]
accuracy = { drop_points = 5.0 }
"""


STOPS = """\
import slimgate.plugin.suite_session as session


def stop(*_, **__):
    raise KeyboardInterrupt


session.write_reports = stop
"""


def run(repository: Path, step: str = "own_blocks:Blocks") -> Ran:
    (repository / "own_blocks.py").write_text(OWN_BLOCKS)
    (repository / "bench/blocks.toml").write_text(SUITE.replace("own_blocks:Blocks", step))
    return run_pytest(repository, "bench/blocks.toml", "-q", "-k", "test_quality")


def test_a_folder_that_cannot_be_made_is_an_early_error(fresh_repository: Path) -> None:
    (fresh_repository / "reports").touch()
    ran = run(fresh_repository)
    assert ran.code == 4
    assert "Traceback" not in ran.out
    [line] = [line for line in ran.lines if line.startswith("ERROR")]
    assert line.startswith(
        "ERROR: reports/latest: reports cannot be written there (Not a directory); make room"
    )


def test_reports_that_fail_later_are_one_line_after_the_verdicts(fresh_repository: Path) -> None:
    ran = run(fresh_repository)
    assert ran.code == 4
    assert "Traceback" not in ran.out
    [line] = [line for line in ran.lines if line.startswith("exit code 4: ")]
    assert line.startswith("exit code 4: records and reports are incomplete: reports/latest")
    assert "cannot be written (Not a directory); make room" in line
    assert "2 passed" in ran.lines[-1]


def test_ctrl_c_while_reports_are_written_keeps_the_verdicts(fresh_repository: Path) -> None:
    (fresh_repository / "conftest.py").write_text(STOPS)
    ran = run(fresh_repository, "own_steps:Same")
    assert ran.code == 2
    assert "Traceback" not in ran.out
    [line] = [line for line in ran.lines if line.startswith("exit code 2: ")]
    assert "incomplete: the run was stopped while they were written; run again" in line
    assert any(line.startswith("bench/blocks.toml: PASS (1 PASS") for line in ran.lines)
    assert ran.find_variant("blocks", "same")["quality"]["accuracy"]["verdict"] == "PASS"
