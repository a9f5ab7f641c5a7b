from __future__ import annotations

from math import ceil, exp, log

import numpy as np
import pytest
from scipy.stats import norm

from slimgate.judge.evidence import Evidence, make_tango_evidence
from slimgate.judge.paired import compute_paired_p_value
from slimgate.judge.power import simulate_analyses
from slimgate.judge.rows_needed import (
    count_planned_rows,
    count_rows_without_change,
    find_copies_from_interval,
    find_copies_until,
    make_unlucky,
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
    passes = simulate_analyses(
        np.random.default_rng(0), [rows], psi, margin, 0.0, 5_000, two_sided=two_sided
    ).passes
    assert passes >= 0.78
    # Not twice the rows: with half of them it passes less, or nothing but unchanged rows is needed.
    assert rows == count_rows_without_change(margin) or passes < 0.98


@pytest.mark.parametrize(("psi", "rows"), [(0.00149, 299), (0.0015, 475)])
def test_rows_without_a_loss_are_planned_if_likely_enough(psi: float, rows: int) -> None:
    """299 rows without a loss have a chance of 80.03 and 79.91 %; with one loss 475 rows pass."""
    assert count_planned_rows(0.01, discordance=psi) == rows


def test_rows_of_groups_take_more_groups() -> None:
    """Groups of 40 correlate by 0.09, an effect of 4.51; 149 groups that lost nothing show 2 points."""
    assert count_planned_rows(0.02, discordance=0.05, sizes=np.full(50, 40.0)) == 5960  # 40 · 149
    assert count_planned_rows(0.02, discordance=0.2, sizes=np.full(50, 40.0)) == ceil(
        4.51 * 6.18256 * 0.2 / 0.0004 + 2 / 0.2
    )


@pytest.mark.parametrize("z", [0.3, 1.0, 2.0])
def test_copies_multiply_the_rows_until_z_has_its_power(z: float) -> None:
    """A normal test, whose z grows with the root of the rows, is to reach 1.6449 + 0.8416.

    The unlucky sample has a z that is lower by 0.8416.
    """
    needed = find_copies_until(lambda copies: float(norm.sf(z * copies**0.5 - 0.8416)), 0.01, 0.02)
    assert needed == pytest.approx((2.4865 / z) ** 2, rel=0.006)


def test_copies_of_rows_without_a_loss_are_the_rule_of_three() -> None:
    """0.98^n falls to 5 % at 148.3 rows."""
    needed = find_copies_until(lambda copies: exp(50 * copies * log(0.98)), 0.0, 0.02)
    assert needed == pytest.approx(148.3 / 50, rel=0.006)


@pytest.mark.parametrize("towards", [1.0, -1.0], ids=["larger", "smaller"])
@pytest.mark.parametrize("copies", [1.0, 7.0])
def test_an_unlucky_sample_is_one_in_five(towards: float, copies: float) -> None:
    """Its mean is 0.8416 standard errors away, and it has as many rows."""
    values, repeats = np.array([1.0, -1.0, 0.0]), np.array([6.0, 2.0, 92.0])
    deviations = values - 0.04
    unlucky = make_unlucky(deviations, repeats, copies, towards=towards)
    error = (repeats @ deviations**2 / copies) ** 0.5 / 100
    assert unlucky.sum() == pytest.approx(100)
    assert unlucky @ values / 100 - 0.04 == pytest.approx(towards * 0.8416 * error, rel=1e-4)


def test_rows_that_do_not_vary_have_no_unlucky_sample() -> None:
    repeats = np.array([0.0, 0.0, 50.0])
    assert make_unlucky(np.array([1.0, -1.0, 0.0]), repeats, 3.0, towards=1.0).tolist() == [0, 0, 50]


@pytest.mark.parametrize(
    ("lost", "gained", "n", "margin"),
    [
        (0, 2, 50, 0.01),
        (1, 3, 30, 0.01),
        (1, 1, 250, 0.01),
        (5, 0, 250, 0.01),
        (3, 0, 50, 0.02),
        (10, 4, 250, 0.05),
        (40, 30, 600, 0.02),
        (6, 1, 600, 0.005),
    ],
    ids=lambda value: f"{value:g}",
)
def test_as_many_rows_as_needed_decide_four_of_five(lost: int, gained: int, n: int, margin: float) -> None:
    """By simulation of the whole test: 76 to 84 %."""
    drop = (lost - gained) / n
    needed = make_changed(lost, gained, n).count_rows_needed(margin, drop)
    assert needed is not None
    shares = [lost / n, gained / n, 1 - (lost + gained) / n]
    drawn = np.random.default_rng(0).multinomial(needed, shares, size=2_000)[:, :2].tolist()
    p_values = [
        compute_paired_p_value(b, c, needed, margin)
        if drop < margin
        else compute_paired_p_value(c, b, needed, -margin)
        for b, c in drawn
    ]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(("margin", "rows"), [(0.01, 299), (0.02, 149), (0.1, 29)])
def test_unchanged_rows_need_the_rule_of_three(margin: float, rows: int) -> None:
    """A PASS of unchanged rows needs 299 rows for 1 point (docs/statistics.md), and so does the message."""
    assert make_changed(0, 0, 20).count_rows_needed(margin, 0.0) == pytest.approx(rows, abs=1)


def make_changed(lost: int, gained: int, n: int) -> Evidence:
    before, after = np.zeros(n), np.zeros(n)
    before[:lost] = 1.0
    after[lost : lost + gained] = 1.0
    return make_tango_evidence(before, after, higher_is_better=True)


def test_no_copies_decide_what_is_at_the_limit_or_out_of_reach() -> None:
    assert find_copies_until(lambda _: 0.0, 0.02, 0.02) is None
    assert find_copies_from_interval(0.02, 0.05, 0.02) is None
    # at a million times as many rows the chance is still over 5 %
    assert find_copies_until(lambda copies: 0.5 if copies < 2e6 else 0.0, 0.0199, 0.02) is None


def test_no_copies_fewer_than_the_rows_that_did_not_decide() -> None:
    assert find_copies_until(lambda _: 0.0, 0.01, 0.02) == pytest.approx(1.0, abs=0.006)
    assert find_copies_from_interval(0.01, 0.0101, 0.02) == 1.0


@pytest.mark.parametrize(("value", "bound"), [(0.0, 0.03), (0.03, 0.0)], ids=["below", "above"])
def test_the_half_width_shrinks_with_the_root_of_the_rows(value: float, bound: float) -> None:
    # half the width is 0.03, its power takes 2.4865 / 1.6449 of it, the way to the limit is 0.02 or 0.01
    expected = (0.03 * 2.4865 / 1.6449 / abs(0.02 - value)) ** 2
    assert find_copies_from_interval(value, bound, 0.02) == pytest.approx(expected, rel=1e-4)
