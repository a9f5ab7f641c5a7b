"""Intervals drawn next to their budget: places on a line from 0 to 100."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from slimgate.judge.budget_kinds import list_point_limits
from slimgate.results.quality import QualityFacts

_MARGIN = 0.06
# One bad variant would squeeze all others into a dot, so a value beyond this many budgets is at the edge.
_MOST_BUDGETS = 3.0


@dataclass(frozen=True)
class Scale:
    """A linear scale of an axis. low, high: the values at 0 and at 100."""

    low: float
    high: float

    def find_place(self, value: float) -> float:
        """The place of a value; a value beyond an end is at that end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True)
class Drawn:
    """An interval with its value; zero: the place of no change; limits: of budgets; cut: at the edge."""

    low: float
    value: float
    high: float
    zero: float
    limits: tuple[float, ...]
    cut: bool

    @property
    def width(self) -> float:
        return round(max(self.high - self.low, 0.8), 2)


def make_scale(
    values: Iterable[float], limits: Sequence[float] = (), *, zero: float = 0.0, wide: bool = False
) -> Scale:
    """A scale that holds the values, the budgets and zero; wide: the scale holds every value."""
    finite = [value for value in values if isfinite(value)]
    low, high = min([*finite, *limits, zero]), max([*finite, *limits, zero])
    if limits and not wide:
        reach = _MOST_BUDGETS * max(abs(limit - zero) for limit in limits)
        low, high = max(low, zero - reach), min(high, zero + reach)
    margin = _MARGIN * (high - low) or 1.0
    return Scale(low - margin, high + margin)


def select_drop_limits(facts: QualityFacts) -> list[float]:
    """The budgets on a metric's drop, in the unit in which the drop is shown."""
    of_percent = [100 * budget.limit for budget in facts.budgets if budget.kind == "increase_relative"]
    return of_percent if facts.unit == "percent" else list_point_limits(facts.budgets)


def draw_bar(
    scale: Scale,
    value: float | None,
    interval: tuple[float, float] | None,
    limits: Sequence[float] = (),
    *,
    zero: float = 0.0,
) -> Drawn | None:
    """The drawn bar; None if there is nothing to draw."""
    if (ends := _find_ends(value, interval)) is None:
        return None
    low, value, high = ends
    return Drawn(
        low=scale.find_place(low),
        value=scale.find_place(value),
        high=scale.find_place(high),
        zero=scale.find_place(zero),
        limits=tuple(scale.find_place(limit) for limit in limits),
        cut=not scale.low <= value <= scale.high,
    )


def _find_ends(
    value: float | None, interval: tuple[float, float] | None
) -> tuple[float, float, float] | None:
    """The interval's low end, the value and the high end; None if one of them is missing or infinite."""
    low, high = (value, value) if interval is None else interval
    if value is None or low is None or high is None or not all(map(isfinite, (low, value, high))):
        return None
    return low, value, high


def draw_margin(
    value: float | None,
    interval: tuple[float, float] | None,
    limit: float,
    *,
    zero: float = 0.0,
    is_minimum: bool = False,
    two_sided: bool = False,
) -> Drawn | None:
    """The interval as a share of what the budget allows, so that budgets of every kind compare.

    The limit is in the middle, and right is inside: at three quarters, half of the allowance is left.

    Args:
        value: the measured value, in the limit's unit; None if nothing was measured.
        interval: around the value.
        limit: of the budget.
        zero: the value of the teacher itself: 0 for drops, 1 for ratios.
        is_minimum: whether the limit is the smallest allowed value, not the largest.
        two_sided: whether the budget limits the distance from zero in both directions.
    """
    values = _find_ends(value, interval)
    if values is None or not isfinite(limit):
        return None
    low, value, high = values
    allowance = abs(limit - zero) or 1.0
    if two_sided:
        nearest = 0.0 if low < 0 < high else min(abs(low), abs(high))
        values = (nearest, abs(value), max(abs(low), abs(high)))
    margins = sorted((number - limit if is_minimum else limit - number) / allowance for number in values)
    scale = Scale(-1.0, 1.0)
    low, value, high = map(scale.find_place, margins)
    cut = not scale.low <= margins[1] <= scale.high
    return Drawn(low=low, value=value, high=high, zero=50.0, limits=(50.0,), cut=cut)
