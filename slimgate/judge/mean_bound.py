"""Bounds of a mean loss over independent units (rows, groups of rows, documents), also for unseen losses.

Every unit has a random weight, exponential of mean 1, and one made-up unit has lost all that it can. The
share of such weightings whose mean loss reaches a margin is the p-value of "the true mean loss is at least
the margin".

This is Gaffke's bound. It needs no normal approximation: for 0/1 losses it is Clopper and Pearson's bound,
and if G equal groups lost nothing it is the rule of three, about 3 / G. So 50 groups cannot show a drop below
2 points, whatever their size.

The bound assumes that units are independent, and that no row loses more than `worst`. It also assumes that
the chance of a group to lose its rows grows at most in proportion to its size. This sets the size of the
made-up group: a lost row is then in a group of sum(size³) / sum(size²) rows on average.
reports/simulations/grouped_verdicts.md has the error rates.

Sources: Gaffke 2005, Three test statistics for a nonparametric one-sided hypothesis on the mean of a
nonnegative variable; Learned-Miller and Thomas 2020, arXiv 1905.06208; Lugannani and Rice 1980, Adv. Appl.
Probab. 12:475-490, for the share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp, pi, sqrt

import numpy as np

from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA
from slimgate.judge.group_sizes import estimate_unseen_size
from slimgate.judge.root import find_root
from slimgate.judge.rows_needed import find_copies_until, make_unlucky
from slimgate.outcomes import Floats, Ints

# If 0 is nearer to the mean of the sum than this, in standard deviations, the formula of the tail is 0 / 0.
_NEAR_MEAN = 1e-4
# The search for the saddlepoint stops at this relative distance from the poles of the generating function.
_POLE = 1e-12
# The search also stops after a relative step of this size: the next step would be about its square.
_STEP = 1e-8
# The smallest p-value with a normal quantile that the search for a bound can use.
_TINY = 1e-300
# Values that differ by less are equal up to rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class UnitLosses:
    """The losses of independent units.

    losses: (units,) the sum over the rows of each unit; sizes: (units,) its number of rows, above 0 (of
    tokens for rates over tokens). best, worst: the smallest and the largest loss that a row can have.
    repeats: (units,) how many equal units each entry represents. run_length: how many units in a row count as
    one, since neighbours are alike; the made-up unit stays a single one of all of them.
    """

    losses: Floats
    sizes: Floats
    best: float
    worst: float
    repeats: Floats
    run_length: float = 1.0

    @property
    def mean(self) -> float:
        """The mean loss of a row."""
        return float(self.repeats @ self.losses / (self.repeats @ self.sizes))

    @cached_property
    def unseen_size(self) -> float:
        """The number of rows of the made-up unit."""
        return estimate_unseen_size(self.sizes, self.repeats)

    def p_at_least(self, margin: float, *, copies: float = 1.0) -> float:
        """The p-value of "the true mean loss is at least `margin`".

        copies: how many times as many units of the same kinds there are, for planning.
        """
        if margin >= self.worst:
            return 0.0
        return self._compute_p_value(self.losses - margin * self.sizes, self.worst - margin, copies)

    def p_at_most(self, margin: float, *, copies: float = 1.0) -> float:
        """The p-value of "the true mean loss is at most `margin`"."""
        if margin <= self.best:
            return 0.0
        return self._compute_p_value(margin * self.sizes - self.losses, margin - self.best, copies)

    def compute_copies_needed(self, margin: float) -> float | None:
        """How many times as many units would show in 80 % of the runs on which side of `margin` the mean is.

        The units keep their kinds and shares. None if the mean equals the margin.
        """
        is_inside = self.mean < margin
        deviations, towards = self.losses - self.mean * self.sizes, 1.0 if is_inside else -1.0

        def p_value(copies: float) -> float:
            repeats = make_unlucky(
                deviations, self.repeats, max(copies / self.run_length, 1.0), towards=towards
            )
            unlucky = replace(self, repeats=repeats)
            test = unlucky.p_at_least if is_inside else unlucky.p_at_most
            return test(margin, copies=copies)

        return find_copies_until(p_value, self.mean, margin)

    def compute_interval(self, alpha: float = ALPHA) -> Interval:
        """The mean losses that neither one-sided test at level `alpha` rejects."""
        mean = min(max(self.mean, self.best), self.worst)
        low = _find_crossing(
            self.p_at_most, alpha, mean, self.best, self._compute_expected_distance(mean - self.best)
        )
        high = _find_crossing(
            self.p_at_least, alpha, mean, self.worst, self._compute_expected_distance(self.worst - mean)
        )
        return low, high

    def _compute_expected_distance(self, span: float) -> float:
        """The expected distance of a bound from the mean: two standard errors, or the rule of three."""
        rows = float(self.repeats @ self.sizes)
        return 2 * self.standard_error + 3 * self.unseen_size * span / rows

    @property
    def standard_error(self) -> float:
        """The standard error of the mean loss. A unit is one draw of both its loss and its size."""
        rows = float(self.repeats @ self.sizes)
        squares = float(self.repeats @ (self.losses - self.mean * self.sizes) ** 2)
        return sqrt(self.run_length * squares) / rows

    def _compute_p_value(self, excess: Floats, unseen_excess: float, copies: float) -> float:
        """The p-value from each unit's excess over a margin; unseen_excess: of a made-up row."""
        values = np.append(excess, self.unseen_size / self.run_length * unseen_excess)
        return compute_share_above_zero(values, np.append(copies / self.run_length * self.repeats, 1.0))


def sum_by_unit(
    losses: Floats, sizes: Floats, groups: Ints | None, *, best: float, worst: float
) -> UnitLosses:
    """Sums the losses and the sizes of the rows of each unit.

    losses, sizes: (rows,); groups: (rows,) ids, or None if each row is a unit.

    Units of size 0 are left out: they do not change the mean, and would change the size of the made-up unit.
    """
    if groups is not None:
        unit_of_row = np.unique(groups, return_inverse=True)[1]
        losses = np.bincount(unit_of_row, weights=losses).astype(np.float64)
        sizes = np.bincount(unit_of_row, weights=sizes).astype(np.float64)
    counted = sizes > 0
    pairs, repeats = np.unique(losses[counted] + 1j * sizes[counted], return_counts=True)
    return UnitLosses(pairs.real, pairs.imag, best, worst, repeats.astype(np.float64))


def compute_share_above_zero(values: Floats, repeats: Floats) -> float:
    """The chance that a sum of values, each times an independent exponential number, is above 0.

    values: (kinds,); repeats: (kinds,) how many terms have each value, not always a whole number. With three
    terms or more, the saddlepoint formula of Lugannani and Rice is within 2 % of the exact share. With two
    different values, the share is exact.
    """
    from slimgate._system.special_functions import betainc, ndtr

    largest, smallest = float(values.max()), float(values.min())
    if largest <= 0:
        return 0.0
    if smallest >= 0:
        return 1.0
    above, below = values >= (1 - _ROUNDING) * largest, values <= (1 - _ROUNDING) * smallest
    if (above | below | (values == 0)).all():
        # the share of one gamma variable in the sum of two has a beta distribution
        terms = float(repeats[below].sum()), float(repeats[above].sum())
        return float(betainc(*terms, largest / (largest - smallest)))
    # the search for the saddlepoint needs values of the order of 1
    values = values / max(largest, -smallest)
    saddlepoint = _find_saddlepoint(values, repeats)
    factors = 1 - saddlepoint * values
    cumulant = -float(repeats @ np.log1p(-saddlepoint * values))
    curvature = float(repeats @ (values / factors) ** 2)
    root = float(np.sign(saddlepoint)) * sqrt(max(-2 * cumulant, 0.0))
    if abs(root) < _NEAR_MEAN:
        skewness = 2 * float(repeats @ (values / factors) ** 3) / curvature**1.5
        return float(ndtr(-root) - skewness / (6 * sqrt(2 * pi)))
    density = exp(cumulant) / sqrt(2 * pi)
    # saddlepoint * sqrt(curvature), without the squares of tiny numbers next to an outlier of 1e200
    spread = float(np.sign(saddlepoint)) * sqrt(float(repeats @ (saddlepoint * values / factors) ** 2))
    share = float(ndtr(-root)) + density * (1 / spread - 1 / root)
    return float(min(max(share, 0.0), 1.0))


def _find_saddlepoint(values: Floats, repeats: Floats) -> float:
    """The root of the slope of the cumulant generating function, -sum(log(1 - t value)), by Newton's method.

    The slope rises between the two poles. Newton's method works on the slope times the distances to both
    poles, which has the same root and is nearly straight. If a step leaves the bracket, the search continues
    in the middle of the bracket.
    """
    smallest, largest = float(values.min()), float(values.max())
    low, high = (1 - _POLE) / smallest, (1 - _POLE) / largest
    if _compute_slopes(values, repeats, low)[0] >= 0:
        # with this many terms the share is 0 or 1 to the last digit, as it is at the end of the bracket
        return low
    if _compute_slopes(values, repeats, high)[0] <= 0:
        return high
    point = 0.0
    while high - low > _ROUNDING * abs(point):
        slope, rise = _compute_slopes(values, repeats, point)
        low, high = (point, high) if slope < 0 else (low, point)
        rise -= slope * (smallest / (1 - point * smallest) + largest / (1 - point * largest))
        next_point = point - slope / rise if rise else (low + high) / 2
        # the correct digits double with each step, and the slope has no more than these
        if abs(next_point - point) <= _STEP * abs(point):
            return next_point
        point = next_point if low < next_point < high else (low + high) / 2
    return point


def _compute_slopes(values: Floats, repeats: Floats, point: float) -> tuple[float, float]:
    """The first and the second derivative of the cumulant generating function."""
    terms = values / (1 - point * values)
    return float(repeats @ terms), float(repeats @ (terms * terms))


def _find_crossing(
    p_value: Callable[[float], float], alpha: float, mean: float, end: float, expected_distance: float
) -> float:
    """The point between mean and end at which the p-value falls to `alpha`; the end if it stays above.

    The result is the mean if the p-value is already as low there, as at levels near a half. A bracket of the
    expected distance from the mean needs a fifth of the evaluations. The search runs on normal quantiles of
    the p-values, which are nearly straight. That saves about a quarter of the evaluations.
    """
    from slimgate._system.special_functions import ndtri

    level = float(ndtri(alpha))

    def excess(point: float) -> float:
        return float(ndtri(min(max(p_value(point), _TINY), 1 - _ROUNDING))) - level

    span = (end - mean) * (1 - 1e-12)
    if end == mean or excess(mean + span) >= 0:
        return end
    if excess(mean) <= 0:
        return mean
    near, far = 0.0, min(1.0, expected_distance / abs(span))
    while excess(mean + far * span) > 0:
        near, far = far, min(1.0, 2 * far)
    return find_root(excess, mean + near * span, mean + far * span, xtol=1e-12)
