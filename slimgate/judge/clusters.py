"""Rows that come in groups: how much surer they seem than they are, also by the groups that were not seen.

The design effect is measured on the rows that changed. Where a drop of a margin is to be ruled out, that is
not enough: a sample that happened not to draw the one file which lost everything shows both a small drop and
a design effect near 1, and would pass (at a true design effect of 8, 30 groups, 2 % of rows changed, 37 % of
the time). So what a drop of the margin would still have to lose, and was not seen, counts as if it came in
whole groups of the usual size, at most 11 rows. With that, false PASS is at most 6.4 % in the cells of
reports/simulations/grouped_verdicts.md; the price is power where groups are few and large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slimgate.judge.levels import Z_ALPHA, t_quantile
from slimgate.judge.proportion import Interval, exact_interval
from slimgate.judge.tango import design_effect
from slimgate.outcomes import Floats, Ints

# Rows of a group that was not seen. A cap of 8 leaves a cell at 9.9 %, one of 10 at 6.5 %; more costs power.
LARGEST_UNSEEN = 11.0


@dataclass(frozen=True)
class Clusters:
    """Tango's variance is multiplied by `measured` to show a drop above a margin, by `at(margin)` below it.

    measured: the design effect of the rows that changed, at least 1. unseen: rows of a group that was not
    seen, as a row meets it. seen: the squared changes, n times their variance. net: rows lost less rows won.
    quantile: one-sided 5 %. groups: None where rows are not grouped; then nothing is multiplied.
    """

    measured: float
    unseen: float
    seen: float
    net: int
    n: int
    quantile: float
    groups: int | None

    def at(self, margin: float) -> float:
        """The effect for ruling out a true drop of `margin`, a fraction."""
        if self.groups is None:
            return 1.0
        missing = max(0.0, self.n * margin - self.net)
        if self.seen + missing == 0:
            return self.measured
        mixed = (self.measured * self.seen + self.unseen * missing) / (self.seen + missing)
        return max(self.measured, mixed)


@dataclass(frozen=True)
class ClusteredShare:
    """The share of (rows,) 0/1 values that a budget limits from above, with its exact 90 % interval.

    The upper bound counts groups that were not seen, as `Clusters.at` does. effect: as measured.
    """

    share: float
    interval: Interval
    n: int
    effect: float
    groups: int | None


def clustered_share(hits: Floats, groups: Ints | None) -> ClusteredShare:
    """hits: (rows,) 1 where a row counts against the budget; groups: (rows,) ids, or None."""
    n, share = len(hits), float(hits.mean())
    if groups is None:
        return ClusteredShare(share, exact_interval(share, n), n, 1.0, None)
    found = clusters(hits, groups)
    low, _ = exact_interval(share, n, design_effect=found.measured, quantile=found.quantile)

    def excess(limit: float) -> float:
        return exact_interval(share, n, design_effect=found.at(limit), quantile=found.quantile)[1] - limit

    return ClusteredShare(share, (low, _crossing(excess, share)), n, found.measured, found.groups)


def _crossing(excess: Callable[[float], float], share: float) -> float:
    """The limit above which the share is shown to lie below it; 1 where there is none."""
    from scipy.optimize import brentq

    return 1.0 if share >= 1 or excess(1.0) >= 0 else float(brentq(excess, share, 1.0, xtol=1e-12))


def clusters(changes: Floats, groups: Ints | None) -> Clusters:
    """changes: (rows,) +1 lost, -1 won, 0 same; groups: (rows,) ids, or None."""
    n, net = len(changes), int(changes.sum())
    if groups is None:
        return Clusters(1.0, 1.0, 0.0, net, n, Z_ALPHA, None)
    sizes = np.unique(groups, return_counts=True)[1]
    return clusters_of_sizes(
        sizes,
        measured=design_effect(changes, groups),
        squared=float(((changes - changes.mean()) ** 2).sum()),
        net=net,
    )


def clusters_of_sizes(sizes: Ints, *, measured: float, squared: float, net: int) -> Clusters:
    """sizes: (groups,) rows of each; squared: the sum of squared deviations of the changes."""
    n = int(sizes.sum())
    unseen = min(float((sizes.astype(np.float64) ** 2).sum()) / n, LARGEST_UNSEEN)
    seen = squared * n / (n - 1) if n > 1 else 0.0
    return Clusters(measured, unseen, seen, net, n, t_quantile(len(sizes) - 1), len(sizes))
