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
    assert "400 CANNOT decide it" in ran.out
    assert "no tests ran" in ran.out
    assert not (repository / ".slimgate" / "artifacts").exists()
    assert not (repository / "reports").exists()

    assert pytest_in(repository, "bench/two.toml", "-k", "footprint and same").code == 0
    ran = pytest_in(repository, "bench/two.toml", "--slimgate-plan")
    assert "  same: teacher -> keep_layers -> fine_tune: in the store" in ran.out
    assert "  int8: same -> int8_dynamic: to build, from int8: step int8_dynamic on" in ran.out


def test_a_run_names_at_its_head_the_budgets_that_its_rows_cannot_decide(repository: Path) -> None:
    """By the assumed discordance first, then by what an earlier run measured of the same rows."""
    wanted = ("bench/two.toml", "-k", "quality and unsure and accuracy")
    first, again = pytest_in(repository, *wanted), pytest_in(repository, *wanted)
    needed = "bench/two.toml: budget accuracy drop_points 0.1 (unsure): takes about "
    assert (
        f"{needed}309,128 gate rows (no true drop, 5% of rows changed, assumed), 400 CANNOT decide it"
        in first.out
    )
    assert first.out.index(needed) < first.out.index("1 passed")
    assert "as much change as an earlier run measured), 400 CANNOT decide it" in again.out
    assert needed in pytest_in(repository, *wanted, "-q").out


def test_a_run_whose_budgets_can_be_decided_says_so_unless_quiet(repository: Path) -> None:
    suite = repository / "bench" / "two.toml"
    suite.write_text(suite.read_text().replace("drop_points = 0.1", "drop_points = 9.0"))
    wanted = ("bench/two.toml", "-k", "footprint and unsure")
    told = "400 gate rows can decide every budget on drops and flips (the hardest takes about 28)"
    assert f"bench/two.toml: {told}" in pytest_in(repository, *wanted).out
    assert "can decide" not in pytest_in(repository, *wanted, "-q").out
