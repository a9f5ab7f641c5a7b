"""Tests for paired proportions: Tango's score test, its interval, and an exact bound for few changed rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import inf, sqrt

import numpy as np

from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA, Z_ALPHA
from slimgate.judge.root import find_root
from slimgate.outcomes import Floats, Ints

# How near to the ends of [-1, 1] the search for a bound goes; at the ends z is 0 / 0.
_EDGE = 1e-13


def compute_tango_z(b: float, c: float, n: float, margin: float) -> float:
    """Score statistic of the hypothesis that the true drop is `margin`, a fraction in (-1, 1).

    Falls as `margin` grows; <= -1.6449 shows a drop below the margin, >= 1.6449 one above it, each at a
    one-sided 5 %. margin 0 is McNemar's z; if nothing changed it is 0. Counts need not be whole numbers.
    """
    if margin < 0:
        # the same test with b and c swapped, because `_estimate_win_probability` has no cancellation then
        return -compute_tango_z(c, b, n, -margin)
    excess = b - c - n * margin
    variance = n * (2 * _estimate_win_probability(b, c, n, margin) + margin * (1 - margin))
    if variance <= 0:
        return 0.0 if excess == 0 else inf * excess
    return excess / sqrt(variance)


def _estimate_win_probability(b: float, c: float, n: float, margin: float) -> float:
    """The maximum likelihood estimate of the share of wrong-to-right rows, if the true drop is `margin`."""
    quadratic = 2 * n
    linear = -b - c + (2 * n - b + c) * margin
    constant = -c * margin * (1 - margin)
    root = sqrt(linear**2 - 4 * quadratic * constant)
    if linear > 0:
        # the usual form would subtract two nearly equal numbers
        return -2 * constant / (root + linear)
    return (root - linear) / (2 * quadratic)


def compute_tango_interval(b: int, c: int, n: int) -> Interval:
    """90 % interval of the true drop, as fractions: the margins that the two-sided test does not reject."""
    return -_find_upper_bound(c, b, n), _find_upper_bound(b, c, n)


def _find_upper_bound(b: int, c: int, n: int) -> float:
    low, high = (b - c) / n + _EDGE, 1 - _EDGE

    def distance_to_bound(margin: float) -> float:
        return compute_tango_z(b, c, n, margin) + Z_ALPHA

    if low >= high or distance_to_bound(high) >= 0:
        return 1.0
    return find_root(distance_to_bound, low, high, xtol=1e-14, rtol=1e-14)


def compute_design_effect(changes: Floats, groups: Ints) -> float:
    """The variance of b - c for rows in groups, divided by that for independent rows; at least 1.

    changes: (rows,) +1 lost, -1 won, 0 same; groups: (rows,) ids. A single group does not show how much
    groups vary, so it counts as a single row: the effect is the number of rows.
    """
    n = len(changes)
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    if count == 1:
        return float(n)
    drop = changes.mean()
    independent_variance = ((changes - drop) ** 2).sum() * n / (n - 1)
    if independent_variance == 0:
        return 1.0
    sums = np.bincount(member, weights=changes - drop)
    grouped_variance = (sums**2).sum() * count / (count - 1)
    return max(1.0, float(grouped_variance / independent_variance))


# With more changed rows than this the normal distribution is near enough: reports/simulations/
# accuracy_verdicts.md has the exact error rates of both rules together.
FEW_CHANGES = 60
# Expected numbers of gained rows (beyond those that the margin itself takes) at which the chance is computed.
# It is largest at or near 0, and from about 24 on it is the normal one.
_GAINED = np.array([0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0])
# A Poisson number of mean 24 is above this in 1 of 10^10 draws.
_MOST_GAINED = 64
# Statistics that differ by less are equal up to rounding.
_ROUNDING = 1e-9


@lru_cache(maxsize=4096)
def compute_exact_p_value(b: int, c: int, n: int, margin: float) -> float:
    """The exact p-value of "the true drop is at least `margin`".

    Args:
        b: Rows that the variant lost.
        c: Rows that it gained.
        n: Rows.
        margin: Fraction in (-1, 1).

    Returns:
        The largest chance, over the share of gained rows, of counts with a statistic as low as the observed.
    """
    from slimgate._system.special_functions import bdtr, binom_pmf

    observed = compute_tango_z(b, c, n, margin)
    gained = np.arange(min(_MOST_GAINED, n) + 1)
    most_lost = _find_most_lost(observed, gained, n, margin)
    possible = most_lost >= 0
    gained, most_lost = gained[possible], most_lost[possible]
    # shares of rows gained and lost whose difference is the margin
    # with few rows, the shares end when every row has changed
    free = np.minimum(_GAINED, 0.999 * n * (1 - abs(margin)) / 2) / n
    share_gained = (free + max(-margin, 0.0))[:, None]
    share_lost = (free + max(margin, 0.0))[:, None]
    chance_gained = binom_pmf(gained, n, share_gained)
    chance_lost = bdtr(most_lost.astype(float), n - gained, share_lost / (1 - share_gained))
    return float((chance_gained * chance_lost).sum(axis=1).max())


def compute_paired_p_value(b: int, c: int, n: int, margin: float) -> float:
    """The p-value of "the true drop is at least `margin`": Tango's, or the exact one if that is larger.

    "At most `margin`" is the same test with swapped counts and the negative margin.
    """
    from slimgate._system.special_functions import ndtr

    if abs(margin) >= 1:  # no drop is outside [-1, 1]
        return 0.0 if margin > 0 else 1.0
    normal = float(ndtr(compute_tango_z(b, c, n, margin)))
    return max(normal, compute_exact_p_value(b, c, n, margin)) if has_few_changes(b, c) else normal


def has_few_changes(b: int, c: int) -> bool:
    """Whether the exact chance counts in addition to Tango's test."""
    return b + c <= FEW_CHANGES


def compute_paired_interval(b: int, c: int, n: int) -> Interval:
    """90 % interval of the true drop: the margins that Tango's test and the exact chance do not reject."""
    low, high = compute_tango_interval(b, c, n)
    if not has_few_changes(b, c):
        return low, high
    wider_high = _widen(high, lambda margin: compute_exact_p_value(b, c, n, margin), n)
    wider_low = -_widen(-low, lambda margin: compute_exact_p_value(c, b, n, margin), n)
    return wider_low, wider_high


def _widen(bound: float, p_value: Callable[[float], float], n: int) -> float:
    """The upper bound, or a larger one at which the exact chance has fallen to the level."""
    rejected, step = bound, 1 / n
    while rejected < 1 and p_value(rejected) > ALPHA:
        bound, rejected, step = rejected, min(rejected + step, 1.0), 2 * step
    # to a hundredth of a row
    while rejected - bound > 0.01 / n:
        middle = (bound + rejected) / 2
        bound, rejected = (middle, rejected) if p_value(middle) > ALPHA else (bound, middle)
    return rejected


def _find_most_lost(observed: float, gained: Ints, n: int, margin: float) -> Ints:
    """(counts,) the most lost rows for each count of gained rows, with a statistic of at most `observed`.

    -1 if no number of lost rows has such a statistic. The statistic rises with the number of lost rows.
    """
    low, high = np.full(len(gained), -1), n - gained
    while (high > low).any():
        middle = (low + high + 1) // 2
        is_low = _compute_statistics(np.maximum(middle, 0), gained, n, margin) <= observed + _ROUNDING
        low = np.where((high > low) & is_low, middle, low)
        high = np.where((high > low) & ~is_low, middle - 1, high)
    return low


def _compute_statistics(lost: Ints, gained: Ints, n: int, margin: float) -> Floats:
    """`compute_tango_z` of arrays of counts."""
    if margin < 0:
        return -_compute_statistics(gained, lost, n, -margin)
    b, c = lost.astype(np.float64), gained.astype(np.float64)
    linear = (2 * n - b + c) * margin - b - c
    constant = -c * margin * (1 - margin)
    root = np.sqrt(linear**2 - 8 * n * constant)
    # this form avoids the difference of two nearly equal numbers
    divisor = np.where(linear > 0, root + linear, 1.0)
    share = np.where(linear > 0, -2 * constant / divisor, (root - linear) / (4 * n))
    excess, variance = b - c - n * margin, n * (2 * share + margin * (1 - margin))
    spread = np.sqrt(np.maximum(variance, 0.0))
    edge = np.where(excess > 0, np.inf, np.where(excess < 0, -np.inf, 0.0))
    return np.divide(excess, spread, out=edge, where=spread > 0)
