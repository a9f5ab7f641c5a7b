"""--slimgate-baseline: a budget that got looser is shown, and needs a reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

pytestmark = pytest.mark.slow

WANTED = (
    "bench/two.toml",
    "-k",
    "quality and accuracy and unsure or size",
    "--slimgate-baseline",
    "base.json",
)


@pytest.fixture
def with_baseline(repository: Path) -> Path:
    """A repository, and the record of a run with its first budgets as base.json."""
    assert run_pytest(repository, *WANTED[:3]).code == 0
    shutil.copy(repository / "reports/latest/two/run.json", repository / "base.json")
    return repository


def with_suite(repository: Path, old: str, new: str) -> Ran:
    suite = repository / "bench" / "two.toml"
    text = suite.read_text()
    assert old in text
    suite.write_text(text.replace(old, new))
    ran = run_pytest(repository, *WANTED)
    suite.write_text(text)
    return ran


def test_budgets_against_a_baseline(with_baseline: Path) -> None:
    """One story, since the models are built once for it."""
    same = run_pytest(with_baseline, *WANTED)
    assert same.code == 0
    assert same.record("two")["baseline"]["loosened"] == []

    loose = with_suite(with_baseline, "drop_points = 0.1", "drop_points = 0.2")
    assert loose.code == 4
    assert (
        "bench/two.toml [budgets.variants.unsure] accuracy: drop_points = 0.2 is looser than 0.1" in loose.out
    )
    assert 'give the budget a reason = "' in loose.out
    assert "Traceback" not in loose.out

    agreed = with_suite(with_baseline, "drop_points = 0.1", 'drop_points = 0.2, reason = "new | data"')
    assert agreed.code == 0
    assert agreed.record("two")["baseline"]["loosened"] == [
        {
            "variant": "unsure",
            "budget": "accuracy",
            "kind": "drop_points",
            "before": 0.1,
            "limit": 0.2,
            "reason": "new | data",
            "undecided": None,
        }
    ]
    report = (with_baseline / "reports/latest/two/report.md").read_text()
    assert "- unsure, accuracy: drop_points was 0.1 and is 0.2 (new \\| data)\n" in report
    assert "**Loosened**" not in report  # the reason is stated once

    tight = with_suite(with_baseline, "compression_min = 0.5", "compression_min = 0.6")
    assert tight.record("two")["baseline"]["loosened"] == []

    size = "size = { compression_min = 0.5 }"
    gone = with_suite(with_baseline, size, "")
    assert gone.code == 4
    for name in ("same", "int8", "unsure"):
        assert f"  {name}, size: compression_min was 0.5 and is gone" in gone.lines
    reason = '[budgets.baseline]\nreason = "files are free"'
    agreed = with_suite(with_baseline, size, reason)
    assert agreed.code == 0
    weaker = agreed.record("two")["baseline"]["weaker"]
    assert {(weakening["about"], weakening["reason"]) for weakening in weaker} == {
        ("budgets", "files are free")
    }


def test_a_baseline_that_is_none_is_reported_in_one_line(repository: Path) -> None:
    (repository / "base.json").unlink(missing_ok=True)
    missing = run_pytest(repository, *WANTED)
    assert (missing.code, "--slimgate-baseline" in missing.out, "cannot be read" in missing.out) == (
        4,
        True,
        True,
    )
    (repository / "base.json").write_text(json.dumps({"schema": "slimgate.run/2"}))
    wrong = run_pytest(repository, *WANTED)
    assert wrong.code == 4
    assert "expected the run.json of an earlier run" in wrong.out
    assert "Traceback" not in wrong.out
