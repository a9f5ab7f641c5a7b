"""--slimgate-plan: what would be built, what the store has, what n can decide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

pytestmark = pytest.mark.slow


def row(ran: Ran, name: str) -> list[str]:
    """The cells of a table's row."""
    [line] = [line for line in ran.lines if line.startswith(f"{name}  ")]
    return re.split(r"\s{2,}", line.strip())


def test_the_plan_builds_nothing_and_says_what_the_store_has(fresh_repository: Path) -> None:
    ran = run_pytest(fresh_repository, "bench/two.toml", "--slimgate-plan")
    assert ran.code == 0
    assert "rows: train 200, calibration 16, selection 40, gate 400" in ran.out
    assert row(ran, "same") == [
        "same",
        "teacher -> keep_layers -> fine_tune",
        "–",
        "?",
        "?",
        "to build, from keep_layers on",
    ]
    assert "5 steps to build, 4 models to predict with: 9 times unknown (?)" in ran.out
    assert row(ran, "accuracy drop_points 0.1")[-1] == "400 gate rows: NO"
    assert "\x1b" not in ran.out
    assert "no tests ran" in ran.out
    assert not (fresh_repository / ".slimgate" / "artifacts").exists()
    assert not (fresh_repository / "reports").exists()

    assert run_pytest(fresh_repository, "bench/two.toml", "-k", "quality and same and accuracy").code == 0
    ran = run_pytest(fresh_repository, "bench/two.toml", "--slimgate-plan")
    assert row(ran, "same")[3:] == ["–", "–", "in the store, with its answers"]
    assert float(row(ran, "same")[2]) > 0
    assert row(ran, "int8")[3:] == ["?", "?", "to build, from int8_dynamic on"]
    assert "2 steps to build, 2 models to predict with: 4 times unknown (?)" in ran.out

    ran = run_pytest(fresh_repository, "bench/two.toml", "--slimgate-plan", "--slimgate-rebuild")
    assert all(re.fullmatch(r"\d+\.\d", seconds) for seconds in row(ran, "same")[3:5])
    assert "as in earlier runs; 4 times unknown (?)" in ran.out


def test_a_run_names_first_the_budgets_its_rows_cannot_decide(fresh_repository: Path) -> None:
    """By simulation first, then by what an earlier run said of the same rows."""
    arguments = ("bench/two.toml", "-k", "quality and unsure and accuracy")
    first, again = run_pytest(fresh_repository, *arguments), run_pytest(fresh_repository, *arguments)
    budget = "bench/two.toml: budget accuracy drop_points 0.1 (unsure)"
    needed = f"{budget}: 400 gate rows CANNOT decide it; it takes about "
    assumed = r"[\d,]+ to [\d,]+ \(if .* an equal variant passes in .* % of simulations\)"
    assert re.search(re.escape(needed) + assumed, first.out)
    assert first.out.index(needed) < first.out.index("1 passed")
    (rows,) = re.findall(re.escape(needed) + r"([\d,]+) \(as the run of \S+ measured\)", again.out)
    facts = again.find_variant("two", "unsure")["quality"]["accuracy"]["budgets"][0]
    assert int(rows.replace(",", "")) == facts["n_needed"]  # head and foot of a run agree
    assert needed in run_pytest(fresh_repository, *arguments, "-q").out


def test_a_run_whose_budgets_can_be_decided_says_so_unless_quiet(fresh_repository: Path) -> None:
    suite = fresh_repository / "bench" / "two.toml"
    suite.write_text(suite.read_text().replace("drop_points = 0.1", "drop_points = 9.0"))
    arguments = ("bench/two.toml", "-k", "size and unsure")
    message = (
        "the 400 gate rows can decide every budget on drops and flips, for a variant as good as the teacher"
    )
    assert f"bench/two.toml: {message}" in run_pytest(fresh_repository, *arguments).out
    assert "can decide" not in run_pytest(fresh_repository, *arguments, "-q").out
