from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.paired import compute_design_effect, compute_tango_interval, compute_tango_z

COUNTS = [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 200), (6, 0, 310), (0, 6, 310), (9, 5, 50), (30, 20, 872)]
COUNTS += [(50, 0, 50), (0, 50, 50), (49, 0, 50), (25, 25, 50), (400, 380, 100_000)]
ids = [f"b{b}c{c}n{n}" for b, c, n in COUNTS]


def z_by_likelihood(b: int, c: int, n: int, margin: float) -> float:
    """Tango's z with the constrained maximum found by solving the likelihood's derivative numerically."""
    from scipy.optimize import brentq

    def slope(won: float) -> float:
        same = (n - b - c) / (1 - 2 * won - margin) if n > b + c else 0.0
        return (b / (won + margin) if b else 0.0) + (c / won if c else 0.0) - 2 * same

    low, high = max(0.0, -margin), (1 - margin) / 2
    inside = (low + 1e-16, high - 1e-16)
    if slope(inside[0]) <= 0:
        won = low
    elif slope(inside[1]) >= 0:
        won = high
    else:
        won = brentq(slope, *inside, xtol=1e-16, rtol=1e-15, maxiter=500)
    lost = won + margin
    return (b - c - n * margin) / sqrt(n * (lost + won - (lost - won) ** 2))


@pytest.mark.parametrize("margin", [0.005, 0.01, 0.02, 0.1, 0.5, -0.01, -0.2])
@pytest.mark.parametrize(("b", "c", "n"), COUNTS, ids=ids)
def test_z_is_that_of_the_likelihood_maximised_numerically(b: int, c: int, n: int, margin: float) -> None:
    assert compute_tango_z(b, c, n, margin) == pytest.approx(
        z_by_likelihood(b, c, n, margin), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize(("b", "c", "n"), [(12, 5, 100), (5, 12, 100), (3, 3, 40), (1, 0, 872)])
def test_z_at_zero_is_mcnemars(b: int, c: int, n: int) -> None:
    assert compute_tango_z(b, c, n, 0.0) == pytest.approx((b - c) / sqrt(b + c), abs=1e-12)


def test_z_at_zero_without_a_change_is_zero() -> None:
    assert compute_tango_z(0, 0, 100, 0.0) == 0.0


@pytest.mark.parametrize(("z", "bound"), [(1.959964, -0.1240), (-1.959964, -0.0054)])
def test_the_95_percent_interval_is_that_of_rs_contingencytables(z: float, bound: float) -> None:
    """161 patients, 6 and 16 discordant (Cavo 2012), as in that package's own tests."""
    from scipy.optimize import brentq

    assert round(brentq(lambda margin: compute_tango_z(6, 16, 161, margin) - z, -0.5, 0.5), 4) == bound


def score_by_information(b: int, c: int, n: int, margin: float) -> float:
    """The score test from its definition: slope of the log-likelihood over the root of its information.

    The other parameter, the chance of a won row, is the one that makes the likelihood largest.
    """
    from scipy.optimize import brentq

    same = n - b - c

    def slope(won: float) -> float:
        return b / (won + margin) + c / won - 2 * same / (1 - 2 * won - margin)

    won = brentq(slope, 1e-15, (1 - margin) / 2 - 1e-15, xtol=1e-16, rtol=1e-15, maxiter=500)
    lost, unchanged = won + margin, 1 - 2 * won - margin
    towards_drop = b / lost - same / unchanged
    drop_drop, won_won = 1 / lost + 1 / unchanged, 1 / lost + 1 / won + 4 / unchanged
    information = n * (drop_drop - (1 / lost + 2 / unchanged) ** 2 / won_won)
    return float(towards_drop / sqrt(information))


def test_z_is_the_score_over_the_root_of_the_information() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        n = int(rng.integers(3, 20_000))
        b, c = (int(count) for count in rng.multinomial(n, rng.dirichlet([1, 1, 8]))[:2])
        if min(b, c, n - b - c) == 0:
            continue
        margin = float(rng.uniform(0.001, 0.3))
        expected = score_by_information(b, c, n, margin)
        assert compute_tango_z(b, c, n, margin) == pytest.approx(expected, rel=1e-9, abs=1e-9), (
            b,
            c,
            n,
            margin,
        )


def test_z_of_a_single_row_worked_by_hand() -> None:
    # nothing changed: q = 0; the row lost: q = (1 - m) / 2; the row won: q = (1 - m) / 2 as well
    m = 0.02
    assert compute_tango_z(0, 0, 1, m) == pytest.approx(-sqrt(m / (1 - m)), abs=1e-12)
    assert compute_tango_z(1, 0, 1, m) == pytest.approx(sqrt((1 - m) / (1 + m)), abs=1e-12)
    assert compute_tango_z(0, 1, 1, m) == pytest.approx(-sqrt((1 + m) / (1 - m)), abs=1e-12)


def test_rows_needed_without_a_change_are_the_closed_forms() -> None:
    # z = -sqrt(n m / (1 - m)) reaches 1.6449 at n = 1.6449² (1 - m) / m = 132.6
    assert compute_tango_z(0, 0, 132, 0.02) > -Z_ALPHA > compute_tango_z(0, 0, 133, 0.02)


def test_losing_every_row_fails_and_winning_every_row_passes() -> None:
    for n in (3, 50, 100_000):
        assert compute_tango_z(n, 0, n, 0.02) >= Z_ALPHA
        assert compute_tango_z(0, n, n, 0.02) <= -Z_ALPHA


def test_models_that_change_places_change_the_sign() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = int(rng.integers(1, 5000))
        b, c = (int(count) for count in rng.multinomial(n, rng.dirichlet([1, 1, 6]))[:2])
        margin = float(rng.uniform(-0.5, 0.5))
        assert compute_tango_z(b, c, n, margin) == pytest.approx(
            -compute_tango_z(c, b, n, -margin), abs=1e-12
        )


@pytest.mark.parametrize(("b", "c", "n"), COUNTS, ids=ids)
def test_z_falls_as_the_margin_grows(b: int, c: int, n: int) -> None:
    z = [compute_tango_z(b, c, n, margin) for margin in np.linspace(-0.99, 0.99, 199)]
    assert (np.diff(z) < 0).all()


@pytest.mark.parametrize(("b", "c", "n"), COUNTS, ids=ids)
def test_the_bounds_are_where_the_test_turns(b: int, c: int, n: int) -> None:
    low, high = compute_tango_interval(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    if high < 1:
        assert compute_tango_z(b, c, n, high) == pytest.approx(-Z_ALPHA, abs=1e-8)
    if low > -1:
        assert compute_tango_z(b, c, n, low) == pytest.approx(Z_ALPHA, abs=1e-8)


def test_where_nothing_changed_the_bound_is_z2_over_n_plus_z2() -> None:
    assert compute_tango_interval(0, 0, 200) == pytest.approx(
        (-(Z_ALPHA**2) / (200 + Z_ALPHA**2), Z_ALPHA**2 / (200 + Z_ALPHA**2)), abs=1e-12
    )


def test_where_every_row_was_lost_the_upper_bound_is_one() -> None:
    low, high = compute_tango_interval(50, 0, 50)
    assert high == 1.0
    # with c = 0 and n = b, z is sqrt(n (1 - m) / (1 + m))
    assert low == pytest.approx((50 - Z_ALPHA**2) / (50 + Z_ALPHA**2), abs=1e-12)


def test_interval_is_mirrored_where_models_change_places() -> None:
    low, high = compute_tango_interval(9, 5, 50)
    assert compute_tango_interval(5, 9, 50) == pytest.approx((-high, -low), abs=1e-12)


def false_pass(n: int, psi: float, margin: float) -> float:
    """Exact chance that a variant whose true drop is the margin passes, summed over all (b, c)."""
    from scipy.stats import binom

    chance = 0.0
    changed = binom.pmf(np.arange(n + 1), n, psi)
    lost_share = (psi + margin) / (2 * psi)
    for total in np.flatnonzero(changed > 1e-9):
        for b in range(total + 1):
            if compute_tango_z(b, int(total) - b, n, margin) <= -Z_ALPHA:
                chance += changed[total] * binom.pmf(b, total, lost_share)
    return float(chance)


def test_a_false_pass_at_few_changes_is_two_lost_rows_or_fewer() -> None:
    """A binomial's lower tail, as all change is loss: 5.2 % exactly; statistics.md simulated 5.4 %."""
    from scipy.stats import binom

    assert false_pass(310, 0.02, 0.02) == pytest.approx(binom.cdf(2, 310, 0.02), abs=1e-6)
    assert false_pass(310, 0.02, 0.02) == pytest.approx(0.052, abs=0.001)


@pytest.mark.parametrize(
    ("psi", "margin"),
    [(psi, margin) for psi in (0.01, 0.02, 0.05) for margin in (0.01, 0.02) if psi >= margin],
)
@pytest.mark.parametrize("n", [200, 500, 1000])
def test_false_pass_is_at_most_6_percent(n: int, psi: float, margin: float) -> None:
    assert false_pass(n, psi, margin) <= 0.06


def test_the_design_effect_of_groups_that_change_is_their_size() -> None:
    rng = np.random.default_rng(0)
    per_group = rng.choice([1.0, -1.0, 0.0], p=[0.1, 0.1, 0.8], size=4000)
    effect = compute_design_effect(np.repeat(per_group, 5), np.repeat(np.arange(4000), 5))
    assert effect == pytest.approx(5, rel=0.1)


def test_design_effect_of_two_groups_worked_by_hand() -> None:
    # drop 1/4, so the groups' sums of (change - drop) are 2 - 1 and 0 - 1
    changes = np.array([1.0, 1, 0, 0, 0, 0, 0, 0])
    groups = np.array([7, 7, 7, 7, 3, 3, 3, 3])
    alone = (2 * 0.75**2 + 6 * 0.25**2) * 8 / 7
    assert compute_design_effect(changes, groups) == pytest.approx((1 + 1) * 2 / alone)


@pytest.mark.parametrize(
    ("changes", "groups", "expected"),
    [
        pytest.param([0.0, 0, 0, 0], [0, 0, 1, 1], 1.0, id="nothing changed"),
        pytest.param([1.0, -1, 1, -1], [0, 0, 1, 1], 1.0, id="groups that even out are not believed"),
        pytest.param([1.0, 0, 0, 0], [5, 5, 5, 5], 4.0, id="one group is one row"),
    ],
)
def test_design_effect_at_the_edge(changes: list[float], groups: list[int], expected: float) -> None:
    assert compute_design_effect(np.array(changes), np.array(groups)) == expected
