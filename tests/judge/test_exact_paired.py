"""slimgate.judge.paired against sums over all counts, and the numbers of the rule of three."""

from __future__ import annotations

from math import exp, lgamma, log

import numpy as np
import pytest
from scipy.stats import binom, norm

from slimgate.judge.paired import (
    FEW_CHANGES,
    _compute_statistics,
    compute_exact_p_value,
    compute_paired_interval,
    compute_paired_p_value,
    compute_tango_interval,
    compute_tango_z,
    has_few_changes,
)


def chance_of_counts(b: int, c: int, n: int, lost: float, gained: float) -> float:
    """Multinomial."""
    terms = [(b, lost), (c, gained), (n - b - c, 1 - lost - gained)]
    if any(count and not share for count, share in terms):
        return 0.0
    return exp(lgamma(n + 1) + sum(k * log(p) - lgamma(k + 1) if k else 0.0 for k, p in terms))


def chance_by_hand(b: int, c: int, n: int, margin: float, gained: float) -> float:
    """Of all counts whose statistic is as low as that of b and c, one by one."""
    limit = compute_tango_z(b, c, n, margin) + 1e-9
    return sum(
        chance_of_counts(lost, won, n, gained + margin, gained)
        for lost in range(n + 1)
        for won in range(n + 1 - lost)
        if compute_tango_z(lost, won, n, margin) <= limit
    )


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 2), (2, 3)])
@pytest.mark.parametrize("margin", [0.05, 0.2])
def test_the_chance_is_the_largest_over_the_gained_rows(b: int, c: int, margin: float) -> None:
    n = 24
    shares = np.linspace(0, 0.999 * (1 - margin) / 2, 60)
    largest = max(chance_by_hand(b, c, n, margin, float(share)) for share in shares)
    assert compute_exact_p_value(b, c, n, margin) == pytest.approx(largest, rel=0.04, abs=5e-4)


def test_without_gained_rows_it_is_the_binomial() -> None:
    """If one of 500 rows is lost and none gained: 0.99^500 + 500 · 0.01 · 0.99^499, the largest chance."""
    assert compute_exact_p_value(1, 0, 500, 0.01) == pytest.approx(binom.cdf(1, 500, 0.01), rel=0.02)


@pytest.mark.parametrize(("margin", "rows"), [(0.01, 299), (0.02, 149), (0.05, 59)])
def test_no_changed_row_passes_by_the_rule_of_three(margin: float, rows: int) -> None:
    assert compute_paired_p_value(0, 0, rows, margin) <= 0.05 < compute_paired_p_value(0, 0, rows - 1, margin)
    assert norm.cdf(compute_tango_z(0, 0, rows - 1, margin)) < 0.05
    assert compute_paired_interval(0, 0, rows)[1] == pytest.approx(1 - 0.05 ** (1 / rows), abs=0.02 / rows)


def test_many_changes_are_judged_by_tango_alone() -> None:
    b, c = 40, FEW_CHANGES - 39
    assert compute_paired_p_value(b, c, 3000, 0.02) == pytest.approx(
        norm.cdf(compute_tango_z(b, c, 3000, 0.02))
    )
    assert compute_paired_interval(b, c, 3000) == compute_tango_interval(b, c, 3000)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 1), (1, 6), (30, 20)])
def test_the_interval_has_the_margins_that_are_not_rejected(b: int, c: int) -> None:
    n = 400
    low, high = compute_paired_interval(b, c, n)
    step = 0.02 / n
    assert compute_paired_p_value(b, c, n, high + step) <= 0.05 < compute_paired_p_value(b, c, n, high - step)
    assert compute_paired_p_value(c, b, n, -low + step) <= 0.05 < compute_paired_p_value(c, b, n, -low - step)
    tango_low, tango_high = compute_tango_interval(b, c, n)
    assert low <= tango_low
    assert high >= tango_high


def test_swapped_counts_swap_the_interval() -> None:
    low, high = compute_paired_interval(2, 5, 300)
    assert compute_paired_interval(5, 2, 300) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("margin", "p_value"), [(1.0, 0.0), (1.5, 0.0), (-1.0, 1.0), (-2.0, 1.0)])
def test_no_drop_is_outside_the_unit_interval(margin: float, p_value: float) -> None:
    assert compute_paired_p_value(3, 1, 50, margin) == p_value


@pytest.mark.parametrize("margin", [-0.3, -0.01, 0.0, 0.01, 0.3])
def test_statistics_of_arrays_are_tangos(margin: float) -> None:
    lost, gained = (grid.ravel() for grid in np.meshgrid(np.arange(8), np.arange(8)))
    expected = [compute_tango_z(int(b), int(c), 20, margin) for b, c in zip(lost, gained, strict=True)]
    assert _compute_statistics(lost, gained, 20, margin) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.01, 0.05])
def test_a_true_drop_of_the_margin_passes_in_at_most_5_percent(margin: float) -> None:
    """Exactly, over all counts; Tango alone passes 6.8 % at 1 point and 268 rows."""
    for n in (58, 100, 150, 268):
        for gained in (0.0, 0.5 / n, 2 / n, 8 / n):
            total = 0.0
            for b in range(n + 1):
                for c in range(min(n - b, 40) + 1):
                    chance = chance_of_counts(b, c, n, gained + margin, gained)
                    if chance > 1e-9 and compute_paired_p_value(b, c, n, margin) <= 0.05:
                        total += chance
            assert total <= 0.0515, (n, gained)


def test_the_exact_chance_counts_up_to_60_changes() -> None:
    assert [has_few_changes(30, lost) for lost in (30, 31)] == [True, False]
