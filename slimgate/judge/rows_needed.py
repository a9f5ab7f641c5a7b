"""How many gate rows a budget takes, before anything is measured and after."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, isclose, log

from slimgate.judge.levels import Z_ALPHA, Z_POWER

# The one-sided p-value of z = Z_ALPHA + Z_POWER.
_P_WITH_POWER = 0.006450
_MOST_COPIES = 1e6
# On the log scale.
_COPIES_TOLERANCE = 0.005

# The discordance a plan assumes where no earlier run has measured it.
ASSUMED_DISCORDANCE = 0.05


def planned_rows(
    margin: float, *, discordance: float = ASSUMED_DISCORDANCE, design_effect: float = 1.0
) -> int:
    """Rows that pass an equally good variant 80 % of the time. margin and discordance are fractions.

    Closed form, (1.645 + 0.842)² psi / margin²; Tango's test takes up to a third more where that is small.
    """
    return max(_rows(discordance * design_effect, margin), _rows_without_change(margin))


def copies_until(p_value: Callable[[float], float], value: float, limit: float) -> float | None:
    """How many times as many rows decide on which side of `limit` a quantity is, 80 % of the time.

    p_value(copies): of the hypothesis that it is on the other side, if all rows came that many times. It must
    fall to the level that is ALPHA where the sample is as unlucky as one in five. None where value and limit
    are equal, or no number of rows under a million times as many is enough.
    """
    if isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12):
        return None
    low, high = 0.0, log(_MOST_COPIES)
    if p_value(_MOST_COPIES) > _P_WITH_POWER:
        return None
    while high - low > _COPIES_TOLERANCE:
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(exp(middle)) <= _P_WITH_POWER else (middle, high)
    return exp(high)


def copies_by_bound(value: float, bound: float, limit: float) -> float | None:
    """The same by an interval, whose half width shrinks with the root of the rows; bound: on the limit's
    side.
    """
    if isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return max(1.0, ((bound - value) * (Z_ALPHA + Z_POWER) / Z_ALPHA / (limit - value)) ** 2)


def _rows(variance: float, gap: float) -> int:
    return max(1, ceil((Z_ALPHA + Z_POWER) ** 2 * variance / gap**2))


def _rows_without_change(margin: float) -> int:
    """Rows at which Tango's upper bound, z² / (n + z²), comes under the margin if not one row changes."""
    return ceil(Z_ALPHA**2 * (1 - margin) / margin) if margin < 1 else 1
