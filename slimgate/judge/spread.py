"""Several seeds of one variant: how much builds differ, apart from how well the rows measure one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.verdict import QualityJudgement


@dataclass(frozen=True)
class BuildSpread:
    """The drops of a variant that was built with each of several seeds. All in percentage points.

    seeds, drops_points: in the suite's order. The first seed's build is the one that ships, and its own drop
    and interval are what a verdict is about: a lucky or unlucky other build changes no verdict.
    mean_points: the mean drop, what such a build loses on average.
    sd_points: the standard deviation between builds (n - 1): what another seed would change, on these same
    rows; more gate rows do not make it smaller. None of a single seed.
    sampling_se_points: the standard error of the first build's drop: what other gate rows would change, for
    the same weights; more gate rows make it smaller. None where there is no interval.
    """

    seeds: tuple[int, ...]
    drops_points: tuple[float, ...]
    mean_points: float
    sd_points: float | None
    sampling_se_points: float | None


def build_spread(
    seeds: Sequence[int], drops_points: Sequence[float], *, sampling_se_points: float | None
) -> BuildSpread:
    """The spread of the builds' drops. Raises MeasureError where seeds and drops do not fit, or repeat."""
    if not seeds or len(seeds) != len(drops_points):
        raise MeasureError(
            f"{len(seeds)} seeds and {len(drops_points)} drops, expected as many, at least one"
        )
    if len(set(seeds)) < len(seeds):
        raise MeasureError(f"seeds {list(seeds)} repeat: equal seeds build the same weights")
    if not all(map(isfinite, drops_points)):
        raise MeasureError(f"drops {list(drops_points)} are not all finite")
    sd = float(np.std(drops_points, ddof=1)) if len(seeds) > 1 else None
    mean = float(np.mean(drops_points))
    return BuildSpread(tuple(seeds), tuple(drops_points), mean, sd, sampling_se_points)


def sampling_se_points(judgement: QualityJudgement) -> float | None:
    """The standard error that the judgement's 90 % interval stands for; None without an interval."""
    if judgement.interval is None:
        return None
    low, high = judgement.interval
    return (high - low) / (2 * Z_ALPHA)
