"""Bounds of a mean loss over independent units (rows, groups of rows, documents), also for unseen losses.

Every unit has a random weight, exponential of mean 1, and one made-up unit has lost all that it can. The
share of such weightings whose mean loss reaches a margin is the p-value of "the true mean loss is at least
the margin".

This is Gaffke's bound. It needs no normal approximation: for 0/1 losses it is Clopper and Pearson's bound,
and if G equal groups lost nothing it is the rule of three, about 3 / G. So 50 groups cannot show a drop below
2 points, whatever their size.

What it assumes: units are independent; no row loses more than `worst`; a group's chance to be lost grows at
most in proportion to its size. The last one sets the size of the made-up group: under that assumption a row
that was lost is in a group of sum(size³) / sum(size²) rows on average.
reports/simulations/grouped_verdicts.md has the error rates.

Sources: Gaffke 2005, Three test statistics for a nonparametric one-sided hypothesis on the mean of a
nonnegative variable; Learned-Miller and Thomas 2020, arXiv 1905.06208; Lugannani and Rice 1980, Adv. Appl.
Probab. 12:475-490, for the share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import exp, pi, sqrt

import numpy as np

from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA
from slimgate.judge.group_sizes import unseen_size
from slimgate.judge.root import find_root
from slimgate.judge.rows_needed import copies_until
from slimgate.outcomes import Floats, Ints

# Nearer to a mean of 0 than this, in standard deviations, the formula of the tail becomes 0 / 0.
_NEAR_MEAN = 1e-4
# How near to a pole of the generating function the search for the saddlepoint goes.
_POLE = 1e-12
# The last relative step of that search: the next one would be about its square.
_STEP = 1e-8
# The least p-value with a normal quantile that the search for a bound can use.
_TINY = 1e-300
# Values that differ by less are equal up to rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class UnitLosses:
    """The losses of independent units.

    losses: (units,) sums over the rows of a unit; sizes: (units,) its rows, above 0 (for rates over tokens,
    its tokens). best, worst: the smallest and the largest loss that a row can have. repeats: (units,) how
    many equal units each entry represents.
    """

    losses: Floats
    sizes: Floats
    best: float
    worst: float
    repeats: Floats

    @property
    def mean(self) -> float:
        """The mean loss of a row."""
        return float(self.repeats @ self.losses / (self.repeats @ self.sizes))

    @cached_property
    def unseen_size(self) -> float:
        """Rows of the made-up unit."""
        return unseen_size(self.sizes, self.repeats)

    def p_at_least(self, margin: float, *, copies: float = 1.0) -> float:
        """The p-value of "the true mean loss is at least `margin`".

        copies: how many times as many units of the same kinds there are, for planning.
        """
        if margin >= self.worst:
            return 0.0
        return self._tail(self.losses - margin * self.sizes, self.worst - margin, copies)

    def p_at_most(self, margin: float, *, copies: float = 1.0) -> float:
        """The p-value of "the true mean loss is at most `margin`"."""
        if margin <= self.best:
            return 0.0
        return self._tail(margin * self.sizes - self.losses, margin - self.best, copies)

    def copies_needed(self, margin: float) -> float | None:
        """The factor on the units that decides on which side of `margin` the mean is, 80 % of the time.

        The units keep their kinds and shares. None if the mean is at the margin.
        """
        p_value = self.p_at_least if self.mean < margin else self.p_at_most
        return copies_until(lambda copies: p_value(margin, copies=copies), self.mean, margin)

    def interval(self, alpha: float = ALPHA) -> Interval:
        """The mean losses that neither one-sided test at level `alpha` rejects."""
        mean = min(max(self.mean, self.best), self.worst)
        low = _crossing(self.p_at_most, alpha, mean, self.best, self._usual_reach(mean - self.best))
        high = _crossing(self.p_at_least, alpha, mean, self.worst, self._usual_reach(self.worst - mean))
        return low, high

    def _usual_reach(self, span: float) -> float:
        """The expected distance of a bound from the mean: two standard errors, or the rule of three."""
        rows = float(self.repeats @ self.sizes)
        return 2 * self.standard_error + 3 * self.unseen_size * span / rows

    @property
    def standard_error(self) -> float:
        """The standard error of the mean loss; units are taken as drawn together with their sizes."""
        rows = float(self.repeats @ self.sizes)
        return sqrt(float(self.repeats @ (self.losses - self.mean * self.sizes) ** 2)) / rows

    def _tail(self, excess: Floats, of_unseen: float, copies: float) -> float:
        values = np.append(excess, self.unseen_size * of_unseen)
        return share_above_zero(values, np.append(copies * self.repeats, 1.0))


def unit_losses(
    losses: Floats, sizes: Floats, groups: Ints | None, *, best: float, worst: float
) -> UnitLosses:
    """Sums losses and sizes of the rows of each unit.

    losses, sizes: (rows,); groups: (rows,) ids, or None if each row is a unit.

    Units of size 0 are left out: they count for nothing, and would change the size of the made-up unit.
    """
    if groups is not None:
        member = np.unique(groups, return_inverse=True)[1]
        losses = np.bincount(member, weights=losses).astype(np.float64)
        sizes = np.bincount(member, weights=sizes).astype(np.float64)
    counted = sizes > 0
    pairs, repeats = np.unique(losses[counted] + 1j * sizes[counted], return_counts=True)
    return UnitLosses(pairs.real, pairs.imag, best, worst, repeats.astype(np.float64))


def share_above_zero(values: Floats, repeats: Floats) -> float:
    """The chance that a sum of values, each times an independent exponential number, is above 0.

    values: (kinds,); repeats: (kinds,) terms of each value, any number above 0. The saddlepoint formula of
    Lugannani and Rice is within 2 % of the exact share from three terms on; with two different values the
    share is exact.
    """
    from slimgate._system.special_functions import betainc, ndtr

    largest, smallest = float(values.max()), float(values.min())
    if largest <= 0:
        return 0.0
    if smallest >= 0:
        return 1.0
    above, below = values >= (1 - _ROUNDING) * largest, values <= (1 - _ROUNDING) * smallest
    if (above | below | (values == 0)).all():
        # the share of two gamma variables is beta distributed
        terms = float(repeats[below].sum()), float(repeats[above].sum())
        return float(betainc(*terms, largest / (largest - smallest)))
    # scaled to the order of 1, so that the search for the saddlepoint has no unit
    values = values / max(largest, -smallest)
    at = _saddlepoint(values, repeats)
    left = 1 - at * values
    generating = -float(repeats @ np.log1p(-at * values))
    spread = float(repeats @ (values / left) ** 2)
    signed = float(np.sign(at)) * sqrt(max(-2 * generating, 0.0))
    if abs(signed) < _NEAR_MEAN:
        skewness = 2 * float(repeats @ (values / left) ** 3) / spread**1.5
        return float(ndtr(-signed) - skewness / (6 * sqrt(2 * pi)))
    density = exp(generating) / sqrt(2 * pi)
    share = float(ndtr(-signed)) + density * (1 / (at * sqrt(spread)) - 1 / signed)
    return float(min(max(share, 0.0), 1.0))


def _saddlepoint(values: Floats, repeats: Floats) -> float:
    """The root of the slope of the cumulant generating function, -sum(log(1 - t value)), by Newton's method.

    The slope rises between the two poles. Newton's method works on the slope times the distances to both
    poles, which has the same root and is nearly straight. A step that leaves the bracket goes to its middle.
    """
    smallest, largest = float(values.min()), float(values.max())
    low, high = (1 - _POLE) / smallest, (1 - _POLE) / largest
    if _slopes(values, repeats, low)[0] >= 0:
        # with this many terms the share is 0 or 1 to the last digit, and the end of the search gives that
        # too
        return low
    if _slopes(values, repeats, high)[0] <= 0:
        return high
    at = 0.0
    while high - low > _ROUNDING * abs(at):
        slope, rise = _slopes(values, repeats, at)
        low, high = (at, high) if slope < 0 else (low, at)
        rise -= slope * (smallest / (1 - at * smallest) + largest / (1 - at * largest))
        following = at - slope / rise if rise else low
        # the correct digits double with each step, and the slope has no more than these
        if abs(following - at) <= _STEP * abs(at):
            return following
        at = following if low < following < high else (low + high) / 2
    return at


def _slopes(values: Floats, repeats: Floats, at: float) -> tuple[float, float]:
    """The first and the second derivative of the cumulant generating function."""
    terms = values / (1 - at * values)
    return float(repeats @ terms), float(repeats @ (terms * terms))


def _crossing(
    p_value: Callable[[float], float], alpha: float, mean: float, end: float, usual: float
) -> float:
    """The point between mean and end at which the p-value falls to `alpha`; the end if it stays above.

    It is the mean if the p-value is already as low there, as at levels near a half. usual: the expected
    distance from the mean; a near bracket takes a fifth of the evaluations. The search runs on normal
    quantiles of the p-values, which are nearly straight, and that saves about a quarter of the evaluations.
    """
    from slimgate._system.special_functions import ndtri

    level = float(ndtri(alpha))

    def excess(at: float) -> float:
        return float(ndtri(min(max(p_value(at), _TINY), 1 - _ROUNDING))) - level

    span = (end - mean) * (1 - 1e-12)
    if end == mean or excess(mean + span) >= 0:
        return end
    if excess(mean) <= 0:
        return mean
    near, far = 0.0, min(1.0, usual / abs(span))
    while excess(mean + far * span) > 0:
        near, far = far, min(1.0, 2 * far)
    return find_root(excess, mean + near * span, mean + far * span, xtol=1e-12)
