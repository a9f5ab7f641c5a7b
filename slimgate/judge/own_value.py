"""A model's own value against a floor or a ceiling: Wilson's score interval for a share of rows."""

from __future__ import annotations

from math import ceil, isclose, sqrt

from slimgate.judge.levels import Z_ALPHA, Z_POWER


def wilson_interval(share: float, n: float, *, z: float = Z_ALPHA) -> tuple[float, float]:
    """Two-sided interval of a share of n rows; with grouped rows n is rows / design effect.

    z: the normal quantile of one side; the default gives a 90 % interval.
    Source: Wilson 1927, JASA 22:209-212.
    """
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # rounding must not lead past the ends
    return max(0.0, middle - half), min(1.0, middle + half)


def wilson_rows(share: float, limit: float, *, design_effect: float = 1.0) -> int | None:
    """Rows that would show on which side of `limit` the share is, 80 % of the time; None if it is on it.

    The score test takes its error from the limit and its power from the share.
    """
    if isclose(share, limit, rel_tol=1e-9):
        return None
    spread = Z_ALPHA * sqrt(limit * (1 - limit)) + Z_POWER * sqrt(share * (1 - share))
    return max(1, ceil(design_effect * (spread / (limit - share)) ** 2))
