"""What choosing among many variants does to a PASS."""

from __future__ import annotations

import pytest

from tools.simulations import winners_curse
from tools.simulations.page import TARGET, Options
from tools.simulations.winners_curse import SCENES, simulate_any_passes, simulate_outcomes

OPTIONS = Options(reps=2000, seed=0)
# Two standard errors of a share of 6 % of 2,000 runs.
NOISE = 0.011


def test_one_of_20_at_their_budget_passes_in_two_of_three_runs() -> None:
    (_, alone, alone_shared), (_, twenty, shared) = simulate_any_passes(OPTIONS, counts=(1, 20))
    assert alone == pytest.approx(0.05, abs=NOISE)
    assert alone_shared == pytest.approx(0.05, abs=NOISE)
    assert twenty == pytest.approx(1 - 0.95**20, abs=0.03)  # 64 %
    assert 0.1 < shared < twenty


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_confirm_rows_and_holm_seldom_ship_what_is_at_its_budget(scene: winners_curse.Scene) -> None:
    by_rule = dict(simulate_outcomes(scene, OPTIONS))
    for rule in ("Holm's correction", "each alone, then confirm"):
        assert by_rule[rule].ships_over <= TARGET + NOISE
        assert by_rule[rule].missed <= TARGET + NOISE


def test_the_corrected_bound_of_what_ships_holds_the_true_drop() -> None:
    by_rule = dict(simulate_outcomes(SCENES[0], OPTIONS))
    uncorrected, corrected = (
        by_rule["each alone, its own bound"],
        by_rule["each alone, bound corrected for all"],
    )
    assert uncorrected.ships_over == corrected.ships_over > 0.5
    assert uncorrected.missed > 0.5
    assert corrected.missed <= TARGET + NOISE


def test_confirm_rows_cost_good_variants_little() -> None:
    by_rule = dict(simulate_outcomes(SCENES[3], OPTIONS))
    assert by_rule["each alone, then confirm"].ships > 0.9
    assert by_rule["each alone, then confirm"].any_over == 0


def test_the_page_says_how_it_was_made() -> None:
    text = winners_curse.make_page(Options(reps=20, seed=3))
    assert "python -m tools.simulations.winners_curse --reps 20 --seed 3" in text
    assert text.count("## ") == 2 + len(SCENES)
