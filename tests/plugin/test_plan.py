"""--slimgate-plan: what would be built, what the store has, what n can decide."""

from __future__ import annotations

from pathlib import Path

from user_repository import pytest_in


def test_the_plan_builds_nothing_and_then_says_what_the_store_has(repository: Path) -> None:
    ran = pytest_in(repository, "bench/two.toml", "--slimgate-plan")
    assert ran.code == 0
    assert "rows: train 200, calibration 16, selection 40, gate 400" in ran.out
    assert "  same: teacher -> keep_layers -> fine_tune: to build, from teacher: model " in ran.out
    assert "budget accuracy" in ran.out
    assert "CANNOT be decided by 400" in ran.out
    assert "no tests ran" in ran.out
    assert not (repository / ".slimgate" / "artifacts").exists()
    assert not (repository / "reports").exists()

    assert pytest_in(repository, "bench/two.toml", "-k", "footprint and same").code == 0
    ran = pytest_in(repository, "bench/two.toml", "--slimgate-plan")
    assert "  same: teacher -> keep_layers -> fine_tune: in the store" in ran.out
    assert "  int8: same -> int8_dynamic: to build, from int8: step int8_dynamic on" in ran.out
