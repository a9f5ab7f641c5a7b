"""Numbers and counts as text. A value that was not measured or is not finite is an en dash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, isfinite, log10
from typing import Any

MISSING = "–"
MEGABYTE = 1024**2
_TINY = 1e-4
_FURTHER_DIGITS = 3


def format_fixed(value: float | None, digits: int) -> str:
    """The value with this many decimals and commas for thousands, without -0.0."""
    if value is None or not isfinite(value):
        return MISSING
    return f"{value:z,.{digits}f}"


def format_significant(value: float | None, digits: int = 3) -> str:
    """The value with this many significant digits, whole numbers in full: 1,234, 12.3, 0.0412."""
    if value is None or not isfinite(value):
        return MISSING
    if 0 < abs(value) < _TINY:
        return f"{value:.{digits - 1}e}"
    return format_fixed(value, _count_decimals(value, digits))


def format_significant_apart(values: Sequence[float | None], limits: Sequence[float]) -> list[str]:
    """As `format_significant`, with more digits if three would round a value to another limit."""
    digits = count_digits_apart(values, limits, fewest=3, show=format_significant)
    return [format_significant(value, digits) for value in values]


def format_number(value: float | None, digits: int = 4) -> str:
    """A number with an unknown unit: whole numbers without decimals, others to this many digits."""
    if value is None or not isfinite(value) or value != round(value):
        return format_significant(value, digits)
    return format_fixed(value, 0)


def format_int(value: int | None) -> str:
    """A whole number with commas for thousands."""
    return MISSING if value is None else f"{value:,}"


def format_percent(share: float | None, digits: int = 1) -> str:
    """A share from 0 to 1 as a percentage."""
    shown = format_fixed(None if share is None else 100 * share, digits)
    return shown if shown == MISSING else f"{shown} %"


def format_points(points: float) -> str:
    """`1 point`, `1.5 points`."""
    number = f"{points:g}"
    return f"{number} {'point' if number == '1' else 'points'}"


def format_megabytes(size: int | None) -> str:
    """Megabytes of 1024² bytes, with one decimal, or more below 1."""
    if size is None:
        return MISSING
    return format_fixed(size / MEGABYTE, 1) if size >= MEGABYTE else format_significant(size / MEGABYTE, 2)


def format_duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`."""
    if seconds is None or not isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _count_decimals(value: float, digits: int) -> int:
    return digits - 1 if value == 0 else max(0, digits - 1 - floor(log10(abs(value))))


def count_digits_apart(
    shown: Sequence[float | None],
    limits: Sequence[float],
    *,
    fewest: int,
    show: Callable[[Any, int], object] = round,
) -> int:
    """The fewest digits with which no number looks like a limit that it does not equal.

    show: makes a number look as it will be shown; by default digits are decimals.
    """
    most_digits = fewest + _FURTHER_DIGITS
    for digits in range(fewest, most_digits):
        if all(
            show(value, digits) != show(limit, digits) or value == limit
            for value in shown
            for limit in limits
        ):
            return digits
    return most_digits


def format_apart(values: Sequence[float | None], limits: Sequence[float], *, fewest: int = 1) -> list[str]:
    """As `format_fixed`, with more decimals if these would round a value to another limit."""
    digits = count_digits_apart(values, limits, fewest=fewest)
    return [format_fixed(value, digits) for value in values]


def format_count(number: int, singular: str, plural: str) -> str:
    """`1 budget holds`, `1,204 budgets hold`."""
    return f"{number:,} {singular if number == 1 else plural}"
