"""Brent's method with the steps of `scipy.optimize.brentq`, so the root is the same to the last bit.

Importing scipy.optimize takes longer than a verdict on thousands of rows.
"""

from __future__ import annotations

from collections.abc import Callable

# scipy's own defaults
_XTOL, _RTOL = 2e-12, 8.881784197001252e-16
_MOST_STEPS = 100


def find_root(
    function: Callable[[float], float], low: float, high: float, *, xtol: float = _XTOL, rtol: float = _RTOL
) -> float:
    """The root of a continuous function between two points at which its signs differ.

    Args:
        function: From a number to a number.
        low: One end.
        high: The other end.
        xtol: The absolute distance to the root that is near enough.
        rtol: The same relative to the root.

    Returns:
        The root.

    Raises:
        ValueError: The signs at both ends are equal.
        RuntimeError: 100 steps did not find the root.
    """
    # opposite: an earlier point where the function has another sign than at `current`
    previous, current, opposite = low, high, 0.0
    at_previous, at_current, at_opposite = float(function(previous)), float(function(current)), 0.0
    step_before, step = 0.0, 0.0
    if at_previous == 0:
        return previous
    if at_current == 0:
        return current
    if (at_previous < 0) == (at_current < 0):
        raise ValueError(
            f"the function is {at_previous} at {low} and {at_current} at {high}, expected values with "
            "opposite signs"
        )
    for _ in range(_MOST_STEPS):
        if at_previous != 0 and at_current != 0 and (at_previous < 0) != (at_current < 0):
            opposite, at_opposite = previous, at_previous
            step_before = step = current - previous
        if abs(at_opposite) < abs(at_current):
            previous, current, opposite = current, opposite, current
            at_previous, at_current, at_opposite = at_current, at_opposite, at_current
        tolerance = (xtol + rtol * abs(current)) / 2
        bisection = (opposite - current) / 2
        if at_current == 0 or abs(bisection) < tolerance:
            return current
        if abs(step_before) > tolerance and abs(at_current) < abs(at_previous):
            if previous == opposite:  # a secant
                trial = -at_current * (current - previous) / (at_current - at_previous)
            else:  # a parabola through three points
                to_previous = (at_previous - at_current) / (previous - current)
                to_opposite = (at_opposite - at_current) / (opposite - current)
                trial = (
                    -at_current
                    * (at_opposite * to_opposite - at_previous * to_previous)
                    / (to_opposite * to_previous * (at_opposite - at_previous))
                )
            if 2 * abs(trial) < min(abs(step_before), 3 * abs(bisection) - tolerance):
                step_before, step = step, trial
            else:
                step_before = step = bisection
        else:
            step_before = step = bisection
        previous, at_previous = current, at_current
        if abs(step) > tolerance:
            current += step
        else:
            current += tolerance if bisection > 0 else -tolerance
        at_current = float(function(current))
    raise RuntimeError(f"no root between {low} and {high} after {_MOST_STEPS} steps")
