"""Several analyses of the same growing sample: a level for each, so that all together err in at most 5 %.

The analyses are planned at equal shares of the rows. Lan and DeMets' spending function of the O'Brien-Fleming
type gives out little of the 5 % early and most of it at the end, so that the last level is close to 5 %.

Sources: Lan and DeMets 1983, Biometrika 70:659-663; Armitage, McPherson and Rowe 1969, J. R. Stat. Soc. A
132:235-244, for the recursion over analyses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np

from slimgate.judge.decision import ALPHA, z_quantile
from slimgate.judge.root import find_root
from slimgate.outcomes import Floats

MOST_ANALYSES = 20
# Integrals over a normal distribution begin at -_END and have this many nodes.
_END = 9.0
_NODES = 200


@dataclass(frozen=True)
class InterimAnalysis:
    """The analysis that is due.

    number: from 1. total: how many are planned. rows: so far. planned_rows: rows at the last analysis.
    """

    number: int
    total: int
    rows: int
    planned_rows: int

    def compute_level(self, alpha: float = ALPHA) -> float:
        """The one-sided level at which this analysis decides, if all analyses together have `alpha`."""
        return compute_analysis_levels(self.total, alpha)[self.number - 1]


@cache
def compute_analysis_levels(analyses: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """The one-sided level of each analysis: a p-value at or under it decides. The levels rise to
    `alpha` at most.

    Raises ValueError for a number of analyses that is not from 1 to 20.
    """
    from slimgate._system.special_functions import ndtr

    if not 1 <= analyses <= MOST_ANALYSES:
        raise ValueError(f"{analyses} analyses, expected 1 to {MOST_ANALYSES}")
    times = np.arange(1, analyses + 1) / analyses
    spent = 2 * ndtr(-z_quantile(alpha / 2) / np.sqrt(times))
    levels = [float(spent[0])]
    bound = z_quantile(levels[0]) * sqrt(times[0])
    nodes, weights = _compute_nodes(bound)
    # density of the sum so far, if no analysis has decided yet, times the weights of the integral
    mass = weights * _compute_density(nodes / sqrt(times[0])) / sqrt(times[0])
    step = sqrt(1 / analyses)
    for at in range(1, analyses):
        bound = _find_bound(nodes, mass, step, float(spent[at] - spent[at - 1]))
        levels.append(float(ndtr(-bound / sqrt(times[at]))))
        next_nodes, weights = _compute_nodes(bound)
        mass = weights * (_compute_density((next_nodes[:, None] - nodes) / step) / step @ mass)
        nodes = next_nodes
    return tuple(levels)


def compute_analysis_rows(planned: int, analyses: int) -> tuple[int, ...]:
    """(analyses,) the number of rows from which each analysis is due."""
    return tuple(-(-planned * number // analyses) for number in range(1, analyses + 1))


def find_due_analysis(rows: int, planned: int, analyses: int) -> InterimAnalysis | None:
    """The latest analysis that is due with so many rows; None before the first."""
    number = sum(rows >= due for due in compute_analysis_rows(planned, analyses))
    return InterimAnalysis(number, analyses, rows, planned) if number else None


def _find_bound(nodes: Floats, mass: Floats, step: float, spend: float) -> float:
    """The bound that the sum exceeds with probability `spend` while no earlier analysis has decided."""
    from slimgate._system.special_functions import ndtr

    def excess(bound: float) -> float:
        return float(ndtr((nodes - bound) / step) @ mass) - spend

    return find_root(excess, 0.0, _END, xtol=1e-12)


def _compute_nodes(bound: float) -> tuple[Floats, Floats]:
    """(nodes,) points from -_END up to the bound, and (nodes,) their weights (Gauss-Legendre)."""
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    half = (bound + _END) / 2
    return half * points + bound - half, half * weights


def _compute_density(z: Floats) -> Floats:
    density: Floats = np.exp(-(z**2) / 2) / sqrt(2 * np.pi)
    return density
