"""The outlook of a budget: what equal variants do, simulated, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.power import (
    CONVERTED,
    TRAINED,
    Outlook,
    draw_equal_changes,
    make_drop_outlook,
    make_flips_outlook,
)

SINGLE_ROWS = (1,) * 6_000


def test_the_ranges_of_changes_are_those_of_the_worked_examples() -> None:
    assert CONVERTED == (0.005, 0.03)
    assert TRAINED == (0.05, 0.12)


@pytest.mark.parametrize(
    ("at_few", "at_many", "word"),
    [
        (1.0, 0.80, "can decide"),
        (1.0, 0.79, "may decide"),
        (0.11, 0.0, "may decide"),
        (0.10, 0.0, "cannot decide"),
    ],
)
def test_the_word_is_that_of_the_shares_that_pass(at_few: float, at_many: float, word: str) -> None:
    assert Outlook(CONVERTED, at_few, at_many).word == word


def test_the_basis_names_changes_and_shares() -> None:
    expected = "if 0.5 to 3 % of the answers change, an equal variant passes in 71 to 98 % of simulations"
    assert Outlook(CONVERTED, 0.98, 0.71).basis == expected
    assert "an equal variant passes in 50 % of simulations" in Outlook(CONVERTED, 0.5, 0.5).basis


@pytest.mark.parametrize("psi", [0.03, 0.3])
def test_an_equal_variant_loses_as_many_rows_as_it_wins(psi: float) -> None:
    changes = draw_equal_changes(np.random.default_rng(1), (1,) * 40_000, psi)
    error = 4 * np.sqrt(psi / 2 / 40_000)
    assert np.mean(changes > 0) == pytest.approx(psi / 2, abs=error)
    assert np.mean(changes < 0) == pytest.approx(psi / 2, abs=error)
    assert set(np.unique(changes)) == {-1.0, 0.0, 1.0}


def test_rows_of_a_group_that_follow_it_change_together() -> None:
    changes = draw_equal_changes(np.random.default_rng(1), (4,) * 2_000, 0.3, follow=1.0).reshape(-1, 4)
    assert (changes == changes[:, :1]).all()
    assert np.mean(changes[:, 0] > 0) == pytest.approx(0.15, abs=0.04)


def test_many_rows_decide_one_point_and_few_do_not() -> None:
    assert make_drop_outlook(SINGLE_ROWS, 0.01, CONVERTED).word == "can decide"
    assert make_drop_outlook((1,) * 60, 0.01, TRAINED).word == "cannot decide"


@pytest.mark.parametrize("rows", [200, 4_264])
def test_the_shares_are_those_of_the_normal_approximation(rows: int) -> None:
    """An equal variant passes if its estimate is 1.645 standard errors below the margin."""
    outlook = make_drop_outlook((1,) * rows, 0.01, TRAINED)
    for share, psi in zip((outlook.at_few, outlook.at_many), TRAINED, strict=True):
        expected = float(ndtr(0.01 / np.sqrt(psi / rows) - Z_ALPHA))
        assert share == pytest.approx(expected, abs=0.07), psi


def test_a_budget_on_both_sides_takes_more_rows() -> None:
    sizes, changes = (1,) * 1_500, (0.03, 0.05)
    one_sided, two_sided = (make_drop_outlook(sizes, 0.01, changes, two_sided=two) for two in (False, True))
    assert make_drop_outlook(sizes, 0.01, changes) == one_sided
    assert (two_sided.at_few, two_sided.at_many) < (one_sided.at_few, one_sided.at_many)


def test_grouped_rows_decide_less_than_single_ones() -> None:
    changes = (0.03, 0.03)
    single, grouped = (make_drop_outlook(sizes, 0.01, changes) for sizes in ((1,) * 2_000, (20,) * 100))
    assert grouped.at_few < single.at_few
    assert 0 < make_drop_outlook((20,) * 300, 0.02, CONVERTED).at_few <= 1


def test_turned_rows_are_judged_by_the_budget_on_flips() -> None:
    assert make_flips_outlook(SINGLE_ROWS, 0.03, CONVERTED).word == "can decide"
    assert make_flips_outlook(SINGLE_ROWS, 0.01, (0.1, 0.1)).at_few == 0
