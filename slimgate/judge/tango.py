"""Tango's score test for paired proportions, its interval, and the design effect of grouped rows.

b = rows the teacher had right and the variant wrong, c = the reverse, n = rows, drop d = (b - c) / n.
Source: Tango 1998, Statistics in Medicine 17:891-908.
"""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from slimgate.judge.contrast import Interval
from slimgate.judge.decision import Z_ALPHA
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
