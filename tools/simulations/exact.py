"""The exact chance of a verdict that depends on b and c only: a sum over all of them, no simulation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tools.simulations.rules import Decides, Rule, list_likely_totals


def compute_pass_chance(rule: Rule, n: int, psi: float, drop: float, margin: float) -> float:
    """The chance of PASS for a variant that changes psi of the rows and truly loses `drop`, all fractions."""
    return _compute_decision_chance(rule.passes, n, psi, drop, margin)


def compute_fail_chance(rule: Rule, n: int, psi: float, drop: float, margin: float) -> float:
    """The chance of FAIL for the same variant."""

    def not_failing(b: int, c: int, rows: int, limit: float) -> bool:
        return not rule.fails(b, c, rows, limit)

    return 1 - _compute_decision_chance(not_failing, n, psi, drop, margin)


def _compute_decision_chance(decides: Decides, n: int, psi: float, drop: float, margin: float) -> float:
    """The chance of a decision that, at each b + c, is taken up to some b and not above it."""
    from scipy.special import bdtr
    from scipy.stats import binom

    totals = list_likely_totals(n, psi)
    thresholds = np.array(list(_find_thresholds(decides, totals, n, margin)))
    # given the total, b is binomial with the lost rows' share of the changed
    below = np.where(thresholds < 0, 0.0, bdtr(np.maximum(thresholds, 0), totals, (psi + drop) / (2 * psi)))
    return float((binom.pmf(totals, n, psi) * below).sum())


def _find_thresholds(decides: Decides, totals: np.ndarray, n: int, margin: float) -> Iterator[int]:
    """For each total the largest b with this decision, or -1. It changes little from a total to the next."""
    b = int(totals[0]) // 2
    for total in totals.tolist():
        b = min(b, total)
        while b < total and decides(b + 1, total - b - 1, n, margin):
            b += 1
        while b >= 0 and not decides(b, total - b, n, margin):
            b -= 1
        yield b
