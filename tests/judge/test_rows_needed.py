from __future__ import annotations

from math import ceil, exp, log

import numpy as np
import pytest
from scipy.stats import norm

from slimgate.judge.power import simulate_looks
from slimgate.judge.rows_needed import (
    count_planned_rows,
    count_rows_without_change,
    find_copies_from_interval,
    find_copies_until,
)


@pytest.mark.parametrize(
    ("margin", "psi", "rows"),
    [
        (0.01, 0.02, 1337),
        (0.01, 0.05, 3132),
        (0.01, 0.10, 6203),
        (0.02, 0.02, 410),
        (0.02, 0.05, 813),
        (0.02, 0.10, 1566),
    ],
)
def test_planned_rows_are_those_of_statistics_md(margin: float, psi: float, rows: int) -> None:
    assert count_planned_rows(margin, discordance=psi) == rows


@pytest.mark.parametrize("two_sided", [False, True], ids=["one side", "both sides"])
@pytest.mark.parametrize("margin", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("psi", [0.001, 0.0075, 0.02, 0.1])
def test_planned_rows_pass_an_equal_model_in_four_of_five(margin: float, psi: float, two_sided: bool) -> None:
    """By simulation with the exact test, to 2 points: 0.6 of chance, and steps of few changes."""
    rows = count_planned_rows(margin, discordance=psi, two_sided=two_sided)
    passes = simulate_looks(
        np.random.default_rng(0), [rows], psi, margin, 0.0, 5_000, two_sided=two_sided
    ).passes
    assert passes >= 0.78
    # Not twice the rows: with half of them it passes less, or nothing but unchanged rows is needed.
    assert rows == count_rows_without_change(margin) or passes < 0.98


def test_rows_of_groups_take_more_groups() -> None:
    """Groups of 40 correlate by 0.09, an effect of 4.51; 149 groups that lost nothing show 2 points."""
    assert count_planned_rows(0.02, discordance=0.05, sizes=np.full(50, 40.0)) == 5960  # 40 · 149
    assert count_planned_rows(0.02, discordance=0.2, sizes=np.full(50, 40.0)) == ceil(
        4.51 * 6.18256 * 0.2 / 0.0004 + 2 / 0.2
    )


@pytest.mark.parametrize("z", [0.3, 1.0, 2.0])
def test_copies_multiply_the_rows_until_z_has_its_power(z: float) -> None:
    """A normal test, whose z grows with the root of the rows, is to reach 1.6449 + 0.8416."""
    needed = find_copies_until(lambda copies: float(norm.sf(z * copies**0.5)), 0.01, 0.02)
    assert needed == pytest.approx((2.4865 / z) ** 2, rel=0.006)


def test_copies_of_rows_that_lost_nothing_follow_their_power() -> None:
    """0.98^n falls to 0.645 % at 249.6 rows."""
    needed = find_copies_until(lambda copies: exp(50 * copies * log(0.98)), 0.0, 0.02)
    assert needed == pytest.approx(249.6 / 50, rel=0.006)


def test_no_copies_decide_what_is_at_the_limit_or_out_of_reach() -> None:
    assert find_copies_until(lambda _: 0.0, 0.02, 0.02) is None
    assert find_copies_from_interval(0.02, 0.05, 0.02) is None
    # at a million times as many rows the chance is still over 0.645 %
    assert find_copies_until(lambda copies: 0.5 if copies < 2e6 else 0.0, 0.0199, 0.02) is None


def test_no_copies_fewer_than_the_rows_that_did_not_decide() -> None:
    assert find_copies_until(lambda _: 0.0, 0.01, 0.02) == pytest.approx(1.0, abs=0.006)
    assert find_copies_from_interval(0.01, 0.0101, 0.02) == 1.0


@pytest.mark.parametrize(("value", "bound"), [(0.0, 0.03), (0.03, 0.0)], ids=["below", "above"])
def test_the_half_width_shrinks_with_the_root_of_the_rows(value: float, bound: float) -> None:
    # half the width is 0.03, its power takes 2.4865 / 1.6449 of it, the way to the limit is 0.02 or 0.01
    expected = (0.03 * 2.4865 / 1.6449 / abs(0.02 - value)) ** 2
    assert find_copies_from_interval(value, bound, 0.02) == pytest.approx(expected, rel=1e-4)
