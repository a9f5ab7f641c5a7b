"""The repository with logs that the tests of one module judge."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lm_eval_logs import write_lm_eval
from support.log_suites import SUITE


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Logs of a base and of two targets: one that lost nothing, and one that lost 50 of 200 in gsm8k."""
    right = [1.0] * 150 + [0.0] * 50
    write_lm_eval(tmp_path / "logs/base", {"gsm8k": right, "arc": right[-60:]})
    write_lm_eval(tmp_path / "logs/good", {"gsm8k": right, "arc": right[-60:]})
    write_lm_eval(tmp_path / "logs/bad", {"gsm8k": [0.0] * 50 + right[50:], "arc": [0.0] * 3 + right[-57:]})
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/logs.toml").write_text(SUITE, "utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", "utf-8")
    return tmp_path
