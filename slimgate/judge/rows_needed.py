"""How many gate rows a budget takes, before anything is measured and after."""

from __future__ import annotations

from math import ceil, isclose

from slimgate.judge.levels import Z_ALPHA, Z_POWER

# The discordance a plan assumes where no earlier run has measured it.
ASSUMED_DISCORDANCE = 0.05


def planned_rows(
    margin: float, *, discordance: float = ASSUMED_DISCORDANCE, design_effect: float = 1.0
) -> int:
    """Rows that pass an equally good variant 80 % of the time. margin and discordance are fractions.

    Closed form, (1.645 + 0.842)² psi / margin²; Tango's test takes up to a third more where that is small.
    """
    return max(_rows(discordance * design_effect, margin), _rows_without_change(margin))


def needed_rows(margin: float, drop: float, *, variance: float) -> int | None:
    """Rows that would decide the budget 80 % of the time if drop and variance stay as measured.

    margin, drop: fractions (of a metric's unit). variance: n times the squared standard error of the drop;
    for 0/1 metrics the discordance times the design effect. For a drop above the margin these are the rows
    that would show FAIL; for a drop equal to it no number would, hence None.
    """
    if isclose(drop, margin):
        return None
    rows = _rows(variance, margin - drop)
    return max(rows, _rows_without_change(margin)) if drop < margin else rows


def rows_for_gap(gap: float, *, variance: float) -> int | None:
    """Rows that would show, 80 % of the time, on which side of 0 a contrast of this size is; None for 0.

    gap, variance: of any contrast; variance is n times its squared standard error.
    """
    return None if isclose(gap, 0, abs_tol=1e-12) else _rows(variance, gap)


def _rows(variance: float, gap: float) -> int:
    return max(1, ceil((Z_ALPHA + Z_POWER) ** 2 * variance / gap**2))


def _rows_without_change(margin: float) -> int:
    """Rows at which Tango's upper bound, z² / (n + z²), comes under the margin if not one row changes."""
    return ceil(Z_ALPHA**2 * (1 - margin) / margin) if margin < 1 else 1
